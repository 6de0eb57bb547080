"""Answers beside labels; store them as Parquet, one row a picture, and load them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import atomic_write
from sightglass.evaluation import boxes
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.explain.maps.heatmap import CELLS
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.evaluation.boxes import BoxMatch


LEAST_CONFIDENCE = 0.01
"""Below the threshold in use, because AP ranks all boxes."""


@dataclass(frozen=True, eq=False)
class EvaluatedPicture:
    """One picture, its labels, and what a model answered."""

    key: str
    """As in the table of the run: the path below its source, with `/`."""
    size: tuple[int, int]
    """Width and height in pixels."""
    truths: tuple[TrueBox, ...] = field(default=(), repr=False)
    """Labelled objects in pixels, under the names of the model's classes, with those that are not counted."""
    truth: str | None = None
    """The class of the whole picture, for a classifier, under the model's name; empty: it is not counted."""
    predictions: tuple[Prediction, ...] = field(default=(), repr=False)
    """Answers, the surest first: a classifier's best five, a detector's boxes from `LEAST_CONFIDENCE` on."""
    maps: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False)
    """By index in `predictions`: (32, 32), 0 to 255, over the whole picture (`explain.maps.cells`)."""


@dataclass(frozen=True, eq=False)
class EvaluationFacts:
    """Facts that are the same for all pictures of an evaluation."""

    model: str
    name: str
    """What a sentence calls the model; empty: as `model`."""
    task: str
    classes: tuple[str, ...] = field(repr=False)
    """All classes of the model."""
    threshold: float
    """Minimum score of a shown box."""
    unknown: tuple[str, ...] = ()
    """Labels for which the model has no class."""


@dataclass(frozen=True, eq=False)
class Evaluation(EvaluationFacts):
    """One model on labelled pictures, in the order of their keys."""

    pictures: tuple[EvaluatedPicture, ...] = field(default=(), repr=False)
    pictures_left_out: int = 0
    """Pictures of a classifier whose label is not counted."""

    @property
    def called(self) -> str:
        """What a sentence calls the model."""
        return self.name or self.model

    @property
    def objects(self) -> int:
        """Labelled objects that are counted."""
        return sum(truth.counted for picture in self.pictures for truth in picture.truths)

    @property
    def not_counted(self) -> int:
        """Labelled objects, or pictures of a classifier, that are not counted."""
        return self.pictures_left_out + sum(not truth.counted for item in self.pictures for truth in item.truths)

    @cached_property
    def matches(self) -> list[list[BoxMatch]]:
        """The matches of each picture's boxes at the threshold."""
        return [boxes.match(picture.truths, picture.predictions, self.threshold) for picture in self.pictures]


FILE = "evaluation.parquet"
_ABOUT = b"sightglass_evaluation"
"""Key of what holds for all pictures in the metadata of the file."""
COLUMNS = {
    "picture": "string",
    "width": "int32",
    "height": "int32",
    "truth": "string",
    "truth_label": "list<string>",
    "truth_box": "list<float64>",
    "truth_crowd": "list<bool>",
    "truth_ignored": "list<bool>",
    "found_label": "list<string>",
    "found_class": "list<int32>",
    "found_score": "list<float64>",
    "found_box": "list<float64>",
    "found_anchor": "list<int32>",
    "map_of": "list<int32>",
    "maps": "binary",
}
"""Of the file; others, of earlier versions, are ignored. Boxes are xyxy in pixels, four numbers each; `map_of` indexes
the answers (`found_…`)."""


def to_row(picture: EvaluatedPicture) -> dict[str, Any]:
    """Return a picture as a row of `COLUMNS`."""
    corners = [answer.box for answer in picture.predictions if answer.box is not None]
    return {
        "picture": picture.key,
        "width": picture.size[0],
        "height": picture.size[1],
        "truth": picture.truth,
        "truth_label": [item.label for item in picture.truths],
        "truth_box": [number for item in picture.truths for number in item.box],
        "truth_crowd": [item.crowd for item in picture.truths],
        "truth_ignored": [item.ignored for item in picture.truths],
        "found_label": [item.label for item in picture.predictions],
        "found_class": [item.index for item in picture.predictions],
        "found_score": [item.score for item in picture.predictions],
        "found_box": [number for box in corners for number in box],
        "found_anchor": [item.anchor if item.anchor is not None else -1 for item in picture.predictions],
        "map_of": list(picture.maps),
        "maps": b"".join(values.tobytes() for values in picture.maps.values()),
    }


def write(path: Path, chunks: Iterable[Sequence[Mapping[str, Any]]], about: EvaluationFacts) -> None:
    """Write chunks of rows (`to_row`), one in memory at a time."""
    facts = {each.name: getattr(about, each.name) for each in fields(EvaluationFacts)}
    write_chunks(path, chunks, COLUMNS, {_ABOUT: json.dumps(facts)})


def write_chunks(
    path: Path, chunks: Iterable[Sequence[Mapping[str, Any]]], columns: Mapping[str, str], about: Mapping[bytes, str]
) -> None:
    """Write chunks of rows to a Parquet file, atomically."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    names = {name: kind.removeprefix("list<").removesuffix(">") for name, kind in columns.items()}
    types = {name: pa.type_for_alias(inner) for name, inner in names.items()}
    types |= {name: pa.list_(types[name]) for name, inner in names.items() if inner != columns[name]}
    schema = pa.schema(list(types.items()), about)
    with atomic_write(path) as draft, parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
        for rows in filter(None, chunks):
            writer.write_table(pa.Table.from_pylist(list(rows), schema))


def load(folder: Path) -> Evaluation:
    """Load a run's evaluation by its folder. Raises Problem."""
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(folder / FILE)
        about = json.loads(table.schema.metadata[_ABOUT])
        facts = EvaluationFacts(**about | {name: tuple(about[name]) for name in ("classes", "unknown")})
        pictures = _read_pictures(table, facts)
    except FileNotFoundError:
        raise Problem(f"{folder} has no evaluation: run the batch with labels (--labels).") from None
    except (OSError, ArrowException, ValueError, KeyError, TypeError, IndexError) as problem:
        raise Problem(f"{FILE} in {folder} is damaged: run the batch with labels again.") from problem
    counted = tuple(picture for picture in pictures if picture.truth != "")
    return Evaluation(**vars(facts), pictures=counted, pictures_left_out=len(pictures) - len(counted))


def _read_pictures(table: Any, facts: EvaluationFacts) -> list[EvaluatedPicture]:
    names = facts.classes
    pictures = []
    for row in zip(*(table.column(name).to_pylist() for name in COLUMNS), strict=True):
        cell = dict(zip(COLUMNS, row, strict=True))
        flags = cell["truth_crowd"], cell["truth_ignored"]
        answers = [[names[i] for i in cell["found_class"]], cell["found_class"], cell["found_score"]]
        if cell["found_box"]:
            answers += [_take_fours(cell["found_box"]), cell["found_anchor"]]
        maps = np.frombuffer(cell["maps"], np.uint8).reshape(len(cell["map_of"]), CELLS, CELLS)
        pictures.append(
            EvaluatedPicture(
                cell["picture"],
                (cell["width"], cell["height"]),
                tuple(map(TrueBox, cell["truth_label"], _take_fours(cell["truth_box"]), *flags)),
                cell["truth"],
                tuple(map(Prediction, *answers)),
                dict(zip(cell["map_of"], maps, strict=True)),
            )
        )
    return sorted(pictures, key=lambda picture: picture.key)


def _take_fours(numbers: Sequence[float]) -> list[tuple[float, float, float, float]]:
    return list(zip(numbers[0::4], numbers[1::4], numbers[2::4], numbers[3::4], strict=True))
