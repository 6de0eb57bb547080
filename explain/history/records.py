"""What is kept of an explanation, and what a person says of it later: plain values, checked where they come in."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from explain.export.embedded_recipe import View
    from explain.findings.diagnosis import Finding
    from explain.maps.heatmap import State
    from explain.maps.statistics import Agreement, Statistics
    from explain.options import Scale
    from explain.recipe import Recipe
    from models.adapter import Prediction
    from models.geometry import Geometry

Order = Literal["newest", "oldest", "surest", "least sure", "largest"]
Shape = Literal["arrow", "circle", "text"]
Ink = Literal["light", "dark", "accent"]
POINTS: dict[str, int] = {"arrow": 2, "circle": 2, "text": 1}
MARKS, MARK_TEXT, FURTHEST = 200, 200, 1_000_000
"""Marks on a map, letters of one, and pixels from the corner, at most."""
NOTE, TAGS, TAG = 10_000, 20, 60
"""Letters of a note, tags of a record, letters of a tag, at most."""


@dataclass(frozen=True)
class Mark:
    """Something drawn on a map. Raises Problem, one sentence, where it makes no sense."""

    kind: Shape
    points: tuple[tuple[float, float], ...]
    """(x, y) in original pixels: of an arrow its tail and its head, of a circle its centre and a point on it, of a text
    where it begins."""
    text: str = ""
    ink: Ink = "accent"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Shape) or self.ink not in get_args(Ink):
            raise Problem(f"There is no mark {self.kind} in {self.ink}: draw an arrow, a circle or a text.")
        try:
            points = tuple((float(x), float(y)) for x, y in self.points)
        except (TypeError, ValueError) as error:
            raise Problem("A mark's points must be pairs of numbers, in pixels of the picture.") from error
        if len(points) != POINTS[self.kind]:
            raise Problem(f"A mark of the kind {self.kind} has {POINTS[self.kind]} points, not {len(points)}.")
        if not all(math.isfinite(at) and abs(at) <= FURTHEST for point in points for at in point):
            raise Problem("A mark lies far outside of the picture: draw it anew.")
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "text", line(self.text, MARK_TEXT, "The text of a mark"))
        if self.kind == "text" and not self.text:
            raise Problem("A text on a map must say something: type a word.")


@dataclass(frozen=True)
class Record:
    """An explanation that was kept. Its maps and its picture are read when they are asked for."""

    id: str
    created: datetime
    """Aware, in UTC."""
    picture_name: str
    picture_sha256: str
    """`Image.sha256`: of its pixels."""
    width: int
    height: int
    model: str
    task: str
    method: str
    layers: tuple[str, ...]
    headline: str
    """The sentence over the picture, as it was."""
    predictions: tuple[Prediction, ...]
    """All of them, best first."""
    labels: tuple[str, ...]
    """Of each map, in order."""
    index: int
    """The map that was looked at."""
    score: float | None
    """How sure the model is of what that map is of, 0..1."""
    statistics: Statistics | None
    """Of that map; None where there is none."""
    findings: tuple[Finding, ...]
    """What that map cannot be trusted for."""
    recipe: Recipe | None
    """None only of a damaged record."""
    view: View
    note: str
    tags: tuple[str, ...]
    marks: tuple[Mark, ...]
    bytes: int
    """What its files take; one that it shares with others is counted for each."""
    notes: tuple[str, ...] = ()
    """What a reader should know, as `Explanation.notes`."""
    screen: str = "explore"
    damaged: str = ""
    """One sentence where the record cannot be read whole; what could be is here."""

    @property
    def label(self) -> str | None:
        """What the map that was looked at is of."""
        return self.labels[self.index] if self.index < len(self.labels) else None


@dataclass(frozen=True, eq=False)
class KeptMap:
    """One heatmap as it was, bit for bit: what the viewer needs of it, and what numbers are made of."""

    label: str
    score: float | None
    """The best score of its class among the predictions, 0..1."""
    values: NDArray[np.float32]
    """`Heatmap.content`: (h, w) in 0..1, the part of the model's input that is picture."""
    extent: tuple[float, float, float, float]
    """What `values` cover: xyxy in original pixels."""
    seen: tuple[int, int, int, int]
    """What the model saw: xyxy in whole original pixels."""
    raw: tuple[float, float] | None
    """The raw values at 0 and at 1, as the viewer takes them; None for a mix of layers."""
    shared: NDArray[np.float32] | None
    """The same map on one scale with its like, where no raw values can say it."""
    cells: tuple[int, int] | None
    """Rows and columns that the model computed; None for a mix of layers."""
    measured: NDArray[np.float32]
    """As `values`, of the whole picture: other than `values` where only the inside of boxes is shown."""
    layer_maps: tuple[NDArray[np.float32], ...]
    """`Heatmap.raw`: signed, on each layer's own grid."""
    geometry: Geometry
    method: str
    layers: tuple[str, ...]
    scale: Scale
    state: State
    """Why there is nothing to see, where there is nothing to see."""
    statistics: Statistics
    boxes: tuple[Prediction, ...]
    """Of a detector: the boxes that the map speaks of."""
    looks: str
    """Where it lies, in words."""

    @property
    def at_input(self) -> NDArray[np.float32]:
        """`Heatmap.at_input`: (h, w) at the model's input, 0 on a letterbox's bars."""
        return _at_input(self.values, self.geometry)

    @property
    def at_picture(self) -> NDArray[np.float32]:
        """`Heatmap.values`: float32 (H, W) in 0..1 on the picture's own grid; 0 outside `seen`."""
        return grown(self.values, self.geometry)


def _at_input(values: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    import numpy as np

    left, top, right, bottom = geometry.content
    out = np.zeros(geometry.input, np.float32)
    out[top:bottom, left:right] = values
    return out


def grown(content: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """The part of a model's input that is picture, on the picture's own grid: float32 (H, W) in 0..1."""
    import numpy as np

    return np.clip(geometry.to_original(_at_input(content, geometry)), 0, 1)


@dataclass(frozen=True)
class Found:
    """One page of a search, and how many records there are on all pages."""

    records: tuple[Record, ...]
    total: int


@dataclass(frozen=True)
class Choices:
    """What a search can be narrowed to: each word with the number of its records, the most first."""

    models: dict[str, int]
    methods: dict[str, int]
    labels: dict[str, int]
    tags: dict[str, int]


@dataclass(frozen=True)
class Storage:
    """What the store takes on the disk, what it may take, and how many records it holds."""

    bytes: int
    limit: int
    count: int

    @property
    def full(self) -> float:
        """The share of the limit that is taken, 0..1."""
        return min(1.0, self.bytes / self.limit)


@dataclass(frozen=True, eq=False)
class Compared:
    """Two records side by side."""

    one: Record
    other: Record
    same_picture: bool
    agreement: Agreement | None
    """Of the two maps that were looked at, over the part that both models saw; None where they cannot be held against
    each other."""
    difference: NDArray[np.float32] | None
    """float32 (h, w) in -1..1 over `seen`, positive where the first has more heat (`render.share_difference`)."""
    seen: tuple[int, int, int, int] | None
    """xyxy in original pixels: what both models saw, and `difference` covers."""
    statistics: tuple[Statistics | None, Statistics | None]
    words: tuple[str, ...]
    """What can be said of the two, a sentence each, the most important first."""


def line(text: str, most: int, what: str) -> str:
    """One line without characters that cannot be seen; raises Problem where it is too long."""
    text = " ".join("".join(" " if _unseen(letter) else letter for letter in text).split())
    if len(text) > most:
        raise Problem(f"{what} has {len(text):,} letters: {most:,} at most, please.")
    return text


def checked_note(text: str) -> str:
    """A note as it is kept: its lines stay."""
    text = "".join(c if c == "\n" or not _unseen(c) else " " for c in text.replace("\r\n", "\n")).strip()
    if len(text) > NOTE:
        raise Problem(f"The note has {len(text):,} letters: {NOTE:,} at most, please.")
    return text


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags as they are kept: in order, each once whatever its case."""
    if isinstance(tags, str):
        raise Problem("Tags must be a list of words.")
    found: dict[str, str] = {}
    for text in tags:
        if tag := line(text, TAG, "A tag"):
            found.setdefault(tag.casefold(), tag)
    if len(found) > TAGS:
        raise Problem(f"A record has {len(found)} tags: {TAGS} at most, please.")
    return tuple(found.values())


def checked_marks(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    if len(marks) > MARKS:
        raise Problem(f"There are {len(marks)} marks on this map: {MARKS} at most, please.")
    return tuple(marks)


def merged(there: Sequence[Mark], since: Sequence[Mark], now: Sequence[Mark]) -> tuple[Mark, ...]:
    """The marks that are there, less what was taken away between `since` and `now`, and with what was added."""
    if tuple(there) == tuple(since):
        return tuple(now)
    gone, new = Counter(since) - Counter(now), Counter(now) - Counter(since)
    kept = []
    for mark in there:
        if gone[mark]:
            gone[mark] -= 1
        else:
            kept.append(mark)
    return (*kept, *new.elements())


def _unseen(letter: str) -> bool:
    # Control characters, lone surrogates, and the marks that reverse how a line reads; but not what joins emoji.
    return (
        unicodedata.category(letter) in ("Cc", "Cs")
        or letter in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
