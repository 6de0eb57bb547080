"""Answers beside labels; store them as Parquet, one row a picture, and load them."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import atomic_write
from sightglass.evaluation import average_precision, box_matching
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.explain.maps.heatmap import CELLS
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.evaluation.average_precision import GatheredBoxes
    from sightglass.evaluation.box_matching import BoxMatches


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
    """Labelled objects in pixels, under the names of the model's classes."""
    truth: str | None = None
    """The class of the whole picture, for a classifier, under the model's name."""
    found: tuple[Prediction, ...] = field(default=(), repr=False)
    """Answers, the surest first: a classifier's best five, a detector's boxes from `LEAST_CONFIDENCE` on."""
    maps: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False)
    """By index in `found`: (32, 32), 0 to 255, over the whole picture (`explain.maps.cells`)."""
    milliseconds: float = 0.0
    """From decoded pixels to answers, one picture at a time; 0 where it was not measured."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One model on labelled pictures, in the order of their keys."""

    model: str
    task: str
    classes: tuple[str, ...] = field(repr=False)
    """All that the model knows."""
    threshold: float
    """From which score on a box is shown."""
    pictures: tuple[EvaluatedPicture, ...] = field(repr=False)
    unknown: tuple[str, ...] = ()
    """Labels for which the model has no class."""
    source: Path | None = None
    """The folder of the run that it was read from."""
    name: str = ""
    """What a sentence calls the model; empty: as `model`."""

    @cached_property
    def truths(self) -> list[tuple[TrueBox, ...]]:
        """The labelled objects of each picture."""
        return [one.truths for one in self.pictures]

    @cached_property
    def found(self) -> list[tuple[Prediction, ...]]:
        """The boxes of each picture."""
        return [one.found for one in self.pictures]

    @cached_property
    def columns(self) -> GatheredBoxes:
        """Labels and boxes of all pictures as columns."""
        return average_precision.gather(self.truths, self.found)

    @cached_property
    def matches(self) -> BoxMatches:
        """What is right and wrong at the threshold."""
        return self.match(self.threshold)

    def match(self, confidence: float = 0.0) -> BoxMatches:
        """Return what is right and wrong of the boxes from a score on."""
        return box_matching.match_columns(self.columns, confidence)


FILE = "evaluation.parquet"
_ABOUT = b"sightglass_evaluation"
"""Key of what holds for all pictures in the metadata of the file."""
COLUMNS = {
    "picture": "string",
    "width": "int32",
    "height": "int32",
    "milliseconds": "float64",
    "truth": "string",
    "truth_label": "list<string>",
    "truth_box": "list<float64>",
    "truth_crowd": "list<bool>",
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


@dataclass(frozen=True)
class EvaluationFacts:
    """What holds for all pictures of an evaluation."""

    model: str
    name: str
    task: str
    classes: tuple[str, ...]
    threshold: float
    unknown: tuple[str, ...] = ()


def to_row(one: EvaluatedPicture) -> dict[str, Any]:
    """Return a picture as a row of `COLUMNS`."""
    boxes = [one.box for one in one.found if one.box is not None]
    return {
        "picture": one.key,
        "width": one.size[0],
        "height": one.size[1],
        "milliseconds": one.milliseconds,
        "truth": one.truth,
        "truth_label": [each.label for each in one.truths],
        "truth_box": [number for each in one.truths for number in each.box],
        "truth_crowd": [each.crowd for each in one.truths],
        "found_label": [each.label for each in one.found],
        "found_class": [each.index for each in one.found],
        "found_score": [each.score for each in one.found],
        "found_box": [number for box in boxes for number in box],
        "found_anchor": [each.anchor if each.anchor is not None else -1 for each in one.found],
        "map_of": list(one.maps),
        "maps": b"".join(values.tobytes() for values in one.maps.values()),
    }


def write(path: Path, chunks: Iterable[Sequence[Mapping[str, Any]]], about: EvaluationFacts) -> None:
    """Write rows (`to_row`), which come in chunks: no more than one of them is in memory."""
    write_chunks(path, chunks, COLUMNS, {_ABOUT: json.dumps(vars(about))})


def write_chunks(
    path: Path, chunks: Iterable[Sequence[Mapping[str, Any]]], columns: Mapping[str, str], about: Mapping[bytes, str]
) -> None:
    """Write chunks of rows to a Parquet file, whole or not at all."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    schema = pa.schema([(name, _type(kind)) for name, kind in columns.items()], about)
    with atomic_write(path) as draft, parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
        for rows in chunks:
            if rows:
                writer.write_table(pa.Table.from_pylist(list(rows), schema))


def _type(kind: str) -> Any:
    import pyarrow as pa

    inner = kind.removeprefix("list<").removesuffix(">")
    one = pa.bool_() if inner == "bool" else getattr(pa, inner)()
    return pa.list_(one) if inner != kind else one


def load(folder: Path) -> Evaluation:
    """Return the evaluation of a run with labels, by its folder; raise Problem where there is none."""
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(folder / FILE)
        known = _read_facts(table.schema)
        with pause_collector():
            pictures = _read_pictures(table, known.classes)
    except FileNotFoundError:
        raise Problem(f"{folder} has no evaluation: run the batch with labels (--labels).") from None
    except (OSError, ArrowException, ValueError, KeyError, TypeError, IndexError) as problem:
        raise Problem(f"{FILE} in {folder} is damaged: run the batch with labels again.") from problem
    pictures.sort(key=lambda one: one.key)
    return Evaluation(
        known.model, known.task, known.classes, known.threshold, tuple(pictures), known.unknown, folder, known.name
    )


def read_facts(folder: Path) -> EvaluationFacts | None:
    """Return what holds for all pictures of a run's evaluation; None where there is none, or it is damaged."""
    from pyarrow import ArrowException, parquet

    with contextlib.suppress(OSError, ArrowException, ValueError, KeyError, TypeError):
        return _read_facts(parquet.read_schema(folder / FILE))
    return None


def _read_facts(schema: Any) -> EvaluationFacts:
    about = json.loads(schema.metadata[_ABOUT])
    return EvaluationFacts(**about | {name: tuple(about[name]) for name in ("classes", "unknown")})


@contextlib.contextmanager
def pause_collector() -> Iterator[None]:
    """Make hundreds of thousands of small objects, none of which is garbage, without looking for garbage among them."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _read_pictures(table: Any, classes: Sequence[str]) -> list[EvaluatedPicture]:
    def plain(name: str) -> list[Any]:
        values: list[Any] = table.column(name).to_pylist()
        return values

    def cut(name: str) -> list[list[Any]]:
        """Return a column of lists, which its chunks hold as one row of values each."""
        found: list[list[Any]] = []
        for chunk in table.column(name).chunks:
            values = chunk.flatten()
            every = values.to_numpy(zero_copy_only=False).tolist() if values.type != "string" else values.to_pylist()
            offsets = (chunk.offsets.to_numpy() - chunk.offsets[0].as_py()).tolist()
            found += [every[start:end] for start, end in pairwise(offsets)]
        return found

    truths = [
        tuple(map(TrueBox, labels, _fours(boxes), crowds))
        for labels, boxes, crowds in zip(cut("truth_label"), cut("truth_box"), cut("truth_crowd"), strict=True)
    ]
    # Names of the model's own list: each is in memory once.
    found = [
        tuple(map(Prediction, [classes[i] for i in indices], indices, scores, _fours(boxes), anchors))
        if boxes
        else tuple(map(Prediction, [classes[i] for i in indices], indices, scores))
        for indices, scores, boxes, anchors in zip(
            *(cut(f"found_{name}") for name in ("class", "score", "box", "anchor")), strict=True
        )
    ]
    maps = [
        dict(zip(of, np.frombuffer(data, np.uint8).reshape(len(of), CELLS, CELLS), strict=True))
        for of, data in zip(cut("map_of"), plain("maps"), strict=True)
    ]
    sizes = zip(plain("width"), plain("height"), strict=True)
    each = zip(plain("picture"), sizes, truths, plain("truth"), found, maps, plain("milliseconds"), strict=True)
    return [EvaluatedPicture(*one) for one in each]


def _fours(numbers: Sequence[float]) -> list[tuple[float, float, float, float]]:
    return list(zip(numbers[0::4], numbers[1::4], numbers[2::4], numbers[3::4], strict=True))
