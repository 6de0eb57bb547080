"""Values of a saved explanation, validated, and the marks that are drawn on it."""

from __future__ import annotations

import json
import math
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from pydantic import ConfigDict, TypeAdapter

from sightglass.common.errors import Problem, typed_line
from sightglass.common.legible import visible
from sightglass.explain.maps.statistics import Statistics
from sightglass.explain.recipe import ProofSettings, Recipe
from sightglass.explain.rendering.marks import add_names
from sightglass.explain.rendering.render import HALO, WHITE, line_width
from sightglass.explain.similarity.ranking import Context
from sightglass.explain.similarity.similarity import Pair
from sightglass.explain.trust import Finding
from sightglass.explain.trust.checks import Checks
from sightglass.models.adapter import Prediction
from sightglass.models.geometry import Geometry
from sightglass.report.embedded_recipe import ViewState, add_checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Shape = Literal["arrow", "circle", "text", "line"]
POINTS: dict[str, range] = {"arrow": range(2, 3), "circle": range(2, 3), "text": range(1, 2), "line": range(1, 6001)}
"""Numbers of points that a mark may have."""
MARKS = "a line, an arrow of two points, a circle by its centre and a point on it, or words at a point"
MAX_MARKS = 400
"""Of a map."""
MAX_MARK_TEXT, MAX_DISTANCE = 200, 1_000_000
"""Maximum number of letters of a mark, and of pixels from the corner."""
MAX_NOTE, MAX_TAGS, MAX_TAG = 10_000, 20, 60
"""Maximum number of letters of a note, tags of a record, and letters of a tag."""
_FAR = 1 << 14
"""Coordinate beyond which OpenCV draws no smooth line."""


@dataclass(frozen=True)
class Mark:
    """A mark on a map; raises Problem, one sentence, if it is not valid."""

    kind: Shape
    points: tuple[tuple[float, float], ...]
    """(x, y) in original pixels: a line's path, an arrow's tail and head, a circle's centre and a point on it, a text's
    start."""
    text: str = ""
    width: float = 0.0
    """Of a line in original pixels; 0 as wide as other marks."""

    def __post_init__(self) -> None:
        text = typed_line(self.text, MAX_MARK_TEXT, "The text of a mark")
        try:
            points = tuple((float(x), float(y)) for x, y in self.points)
            is_whole = len(points) in POINTS.get(self.kind, ()) and (text or self.kind != "text")
            # Of what is no number, no comparison is true.
            if not is_whole or not all(abs(at) <= MAX_DISTANCE for at in (self.width, *chain.from_iterable(points))):
                raise ValueError("no mark")
        except (TypeError, ValueError) as error:
            raise Problem(f"A mark is {MARKS}, in pixels of the picture.") from error
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "text", text)


def draw_marks(pixels: NDArray[np.uint8], marks: Sequence[Mark]) -> NDArray[np.uint8]:
    """Draw marks on a copy of pixels, uint8 (H, W, 3) RGB, white over dark."""
    out, thin = np.ascontiguousarray(pixels).copy(), line_width(pixels.shape)
    names = []
    for mark in marks:
        path = np.clip(np.rint(mark.points), -_FAR, _FAR).astype(np.int32)
        start, end = path[0].tolist(), path[-1].tolist()
        radius, width = round(math.dist(start, end)), min(255, round(mark.width) or thin)
        for ink, thick in ((HALO, width + 2), (WHITE, width)):
            if mark.kind == "arrow":
                cv2.arrowedLine(out, start, end, ink, thick, cv2.LINE_AA, tipLength=8 * thin / max(radius, 16 * thin))
            elif mark.kind == "circle":
                cv2.circle(out, start, radius, ink, thick, cv2.LINE_AA)
            elif mark.kind == "line":
                cv2.polylines(out, [path], False, ink, thick, cv2.LINE_AA)
        if mark.text:
            names.append(((start[0], start[1] + (radius if mark.kind == "circle" else 0)), mark.text))
    return add_names(out, names)


@dataclass(frozen=True)
class SavedPair:
    """What the record of two compared pictures has beside that of one."""

    name: str
    """Of the second picture; the record's own name, size and hash are the query's."""
    sha256: str
    how: dict[str, Any]
    """Fields of `Similarity` by name: `of`, `state`, `preprocessing` and others."""
    geometries: tuple[Geometry, Geometry]
    matches: tuple[Pair, ...]
    """Cells of the query and of the other picture that match best."""
    context: Context | None
    """The reference scores."""


class SavedProof(ProofSettings):
    """How one of a record's maps was proved, by `Explanation.prove`; `History.proof` has its curves."""

    # Records of former versions name a file, too.
    model_config = ConfigDict(extra="ignore")

    sentence: str


@dataclass(frozen=True)
class MapInfo:
    """Description of a map, without its arrays."""

    label: str
    score: float | None
    """The best score of its class among the predictions, 0..1."""
    ends: tuple[float, float] | None
    """`Heatmap.ends`."""
    geometry: Geometry
    method: str
    layers: tuple[str, ...]
    scale: Literal["own", "shared"]
    state: Literal["ok", "flat", "no evidence", "not a number"]
    """`ok`, or why the map is empty."""
    statistics: Statistics
    boxes: tuple[Prediction, ...] = ()
    """A detector's boxes that the map explains."""
    looks: str = ""
    """Description of where the heat is."""
    signed: bool = False
    """`Heatmap.signed`."""
    unit: str = ""
    """Of the number that a signed map explains."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A saved explanation, of one picture or of a pair. Its arrays and pictures are read on demand."""

    id: str
    created: datetime
    """Aware, in UTC."""
    picture_name: str = ""
    picture_sha256: str = ""
    """`Image.sha256`: of its pixels."""
    width: int = 0
    height: int = 0
    model: str
    task: str
    method: str
    headline: str
    """The sentence over the picture when it was saved."""
    title: str = ""
    """The first sentence of the headline; early records have none."""
    layers: tuple[str, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    """All of them, best first."""
    labels: tuple[str, ...] = ()
    """Of each map, in order."""
    index: int = 0
    """The selected map."""
    score: float | None = None
    """Score of that map's target, 0..1; of a pair the cosine, -1..1."""
    statistics: Statistics | None = None
    """Of that map; None without a map."""
    findings: tuple[Finding, ...] = ()
    """Limitations of that map."""
    recipe: Recipe | None = None
    """None only for a pair and in a damaged record."""
    view: ViewState = field(default_factory=ViewState)
    notes: tuple[str, ...] = ()
    """As `Explanation.notes`."""
    pair: SavedPair | None = None
    """Where two pictures are compared."""
    proofs: tuple[SavedProof, ...] = ()
    """Of the maps that were proved."""
    seals: tuple[Checks | None, ...] = ()
    """Of each map, None for one that was not checked; empty without any."""
    maps: tuple[MapInfo, ...] = ()
    """The description of each map."""
    note: str = ""
    tags: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    bytes: int = 0
    """Size of its files."""
    damaged: str = ""
    """One sentence if parts of the record cannot be read."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes by which it is found: of the selected map, of the best answer, of a detector's boxes."""
        if self.pair is not None:
            return ()
        labels = [answer.label for answer in self.predictions if answer.box is not None]
        labels += [answer.label for answer in self.predictions[:1]]
        return tuple(dict.fromkeys((*labels, *self.labels[self.index : self.index + 1])))

    @property
    def text(self) -> str:
        """What it is searched by."""
        words = [self.headline, *self.labels, self.note, *self.tags, *(mark.text for mark in self.marks)]
        return "\n".join((*words, self.picture_name, self.model, self.method))

    def proof_of(self, index: int) -> SavedProof | None:
        """Return the saved proof of the map at `index`, or None."""
        return next((proof for proof in self.proofs if proof.index == index), None)

    def checks_of(self, index: int) -> Checks | None:
        """Return the saved checks of the map at `index`, or None."""
        return self.seals[index] if 0 <= index < len(self.seals) else None

    @property
    def checked_recipe(self) -> Recipe | None:
        """The recipe with its maps' checks; None in a damaged record."""
        return None if self.recipe is None else add_checks(self.recipe, self.seals)

    @property
    def label(self) -> str | None:
        """Label of the selected map's target."""
        return self.labels[self.index] if self.index < len(self.labels) else None


@dataclass(frozen=True)
class SearchResult:
    """One page of a search, and the number of records on all pages."""

    records: tuple[Record, ...]
    total: int


@dataclass(frozen=True)
class FilterChoices:
    """Filters of a search: each value with the number of its records, most first."""

    models: dict[str, int]
    labels: dict[str, int]
    tags: dict[str, int]


@dataclass(frozen=True)
class Storage:
    """Bytes used, the limit in bytes, and the number of records."""

    bytes: int
    limit: int
    count: int


@cache
def _adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


def to_text(record: Record, indent: int | None = None) -> str:
    """Return a record as JSON in ASCII; numbers that are not finite stay."""
    return json.dumps(_adapter().dump_python(record, mode="json", by_alias=False), indent=indent)


def from_text(text: str) -> Record:
    """Return the record of `to_text`; raise ValueError for any other text."""
    return _adapter().validate_python(json.loads(text))


def fold(text: str) -> str:
    """Return text as it is searched: without case and accents."""
    parts = unicodedata.normalize("NFKD", text).casefold().replace("\0", " ")
    return "".join(
        letter for letter in parts if not unicodedata.combining(letter) and not "\ud800" <= letter <= "\udfff"
    )


def checked_note(text: str) -> str:
    """Return a note without invisible characters. Raises Problem."""
    text = "\n".join(map(visible, text.replace("\r\n", "\n").split("\n"))).strip()
    if len(text) > MAX_NOTE:
        raise Problem(f"The note has {len(text):,} letters: {MAX_NOTE:,} at most, please.")
    return text


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags in order, without duplicates. Raises Problem."""
    if isinstance(tags, str):
        raise Problem("Tags must be a list of words.")
    unique: dict[str, str] = {}
    for text in tags:
        if tag := typed_line(text, MAX_TAG, "A tag"):
            unique.setdefault(tag.casefold(), tag)
    if len(unique) > MAX_TAGS:
        raise Problem(f"A record has {len(unique)} tags: {MAX_TAGS} at most, please.")
    return tuple(unique.values())


def checked_marks(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    if len(marks) > MAX_MARKS:
        raise Problem(f"There are {len(marks)} marks on this map: {MAX_MARKS} at most, please.")
    return tuple(marks)
