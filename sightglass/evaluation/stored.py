"""Answers beside labels; store them as JSON, a line a picture, and load them."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property, partial
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from sightglass.common.errors import Problem
from sightglass.common.files import Json, atomic_write, modified, to_json
from sightglass.common.files.keeping import reading
from sightglass.evaluation import boxes, label_changes
from sightglass.evaluation.boxes import BoxMatch
from sightglass.evaluation.label_files.rows import TrueBox
from sightglass.evaluation.masks import Pair
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.maps.heatmap import CELLS
from sightglass.models.adapter import Prediction

LEAST_CONFIDENCE = 0.001
"""Below the threshold in use, because AP ranks all boxes."""
Cells = Annotated[
    NDArray[np.uint8],
    PlainValidator(lambda text: np.frombuffer(b64decode(text), np.uint8).reshape(CELLS, CELLS)),
    PlainSerializer(lambda cells: b64encode(cells.tobytes()).decode()),
]
"""uint8 (32, 32), 0 to 255, over the whole picture (`explain.maps.heatmap.small_map`); base64 in JSON."""


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
    """A classifier's class of the whole picture, under the model's name; empty: not counted; None: without a label."""
    predictions: tuple[Prediction, ...] = field(default=(), repr=False)
    """Answers, the surest first: a classifier's best five, a detector's boxes from `LEAST_CONFIDENCE` on."""
    maps: Mapping[int, Cells] = field(default_factory=dict, repr=False)
    """By index in `predictions`."""
    pairs: tuple[Pair, ...] = field(default=(), repr=False)
    """Of a segmentation the counted pixels."""
    not_counted: int = 0
    """Pixels of its mask that are not counted, or labelled objects outside of the picture."""
    problem: str = ""
    """Why its mask is missing or cannot be used, without a full stop."""

    @cached_property
    def match(self) -> Callable[[float], list[BoxMatch]]:
        """`boxes.match` of its boxes from a score on, computed once: a correction changes one picture of a run."""
        return cache(partial(boxes.match, self.truths, self.predictions))


@dataclass(frozen=True, eq=False)
class EvaluationFacts:
    """Facts that are the same for all pictures of an evaluation."""

    model: str
    name: str
    """What a sentence calls the model; empty: as `model`."""
    task: str
    classes: tuple[str, ...] = field(repr=False)
    threshold: float
    """Minimum score of a shown box."""
    unknown: tuple[str, ...] = ()
    """Labels for which the model has no class."""
    stopped: bool = False
    """Whether the run was stopped: its first pictures are no random sample, so that its numbers have no intervals."""


@dataclass(frozen=True, eq=False)
class Evaluation(EvaluationFacts):
    """One model on labelled pictures, in the order of their keys."""

    pictures: tuple[EvaluatedPicture, ...] = field(default=(), repr=False)
    pictures_left_out: int = 0
    """Pictures of a classifier whose label is not counted."""
    corrected: int = 0
    """Labels that a person added, removed or replaced."""

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
        """Labelled objects, pixels, or pictures of a classifier, that are not counted."""
        objects = sum(not truth.counted for picture in self.pictures for truth in picture.truths)
        return self.pictures_left_out + objects + sum(picture.not_counted for picture in self.pictures)

    @cached_property
    def matches(self) -> list[list[BoxMatch]]:
        """The matches of each picture's boxes at the threshold."""
        return [picture.match(self.threshold) for picture in self.pictures]

    @property
    def nbytes(self) -> int:
        """Memory of its pictures, about: an answer or a labelled object takes 600 bytes, a map 1,200."""
        return 600 * sum(len(each.predictions) + len(each.truths) + 2 * len(each.maps) + 1 for each in self.pictures)


FILE = "evaluation.jsonl"
"""Beside the table of a run: a line of facts, then a line for each picture."""
_FACTS, _PICTURE = TypeAdapter(EvaluationFacts), TypeAdapter(EvaluatedPicture)
_loaded: ByteCache[Evaluation] = ByteCache(128 * 2**20, attrgetter("nbytes"))
"""Evaluations by their files, without corrections: reading 1,000 pictures of a detector takes .4 s."""


def to_row(picture: EvaluatedPicture) -> Json:
    """Return a picture as values for JSON."""
    row: Json = _PICTURE.dump_python(picture, mode="json", exclude_defaults=True)
    return row


def write(path: Path, rows: Iterable[Json], about: EvaluationFacts) -> None:
    """Write facts and rows, one in memory at a time, atomically."""
    with atomic_write(path) as draft, draft.open("w", encoding="utf-8") as file:
        file.writelines(f"{to_json(document, None)}\n" for document in chain((asdict(about),), rows))


def load(folder: Path) -> Evaluation:
    """Load a run's evaluation by its folder.

    Raises Problem without one, Unreadable for a damaged file.
    """
    try:
        with reading(folder / FILE, "run the batch with labels again"):
            evaluation = _loaded.get_or_make((folder, modified(folder / FILE)), partial(_read, folder / FILE))
    except FileNotFoundError:
        raise Problem(f"{folder} has no evaluation: run the batch with labels (--labels).") from None
    pictures, corrected = label_changes.apply(folder, evaluation.pictures, evaluation.classes)
    counted = tuple(picture for picture in pictures if picture.truth or evaluation.task != "classify")
    left_out = sum(picture.truth == "" for picture in pictures)
    return replace(evaluation, pictures=counted, pictures_left_out=left_out, corrected=corrected)


def _read(file: Path) -> Evaluation:
    first, *rows = file.read_bytes().splitlines() or [b""]
    pictures = sorted(map(_PICTURE.validate_json, rows), key=attrgetter("key"))
    return Evaluation(**vars(_FACTS.validate_json(first)), pictures=tuple(pictures))
