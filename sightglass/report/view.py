"""A view: one thing that a page shows, as slides and their files show it.

No writer of slides asks what a model answers: all of it is in the `View`. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, GetPydanticSchema
from pydantic_core import core_schema

from sightglass.common.errors import Problem
from sightglass.common.legible import legible
from sightglass.explain.picture.image import Image, to_jpeg
from sightglass.explain.recipe import Label, Legible, Share
from sightglass.explain.rendering.style import VIEWER_STYLE, Kind, Style
from sightglass.explain.rendering.style import Field as MapField

if TYPE_CHECKING:
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.result import Result

PICTURE_SIDE = 1920
"""Maximum pixels of a slide's picture."""
QUALITY = 88
"""Quality of its JPEG."""
MAX_PICTURES, MAX_BOXES, MAX_FACTS = 8, 100, 6
"""Maximum number of pictures and facts of a view, and of boxes of a picture."""
MAX_TITLE, MAX_SENTENCE, MAX_MADE = 120, 400, 240
"""Maximum number of letters."""
STATES = {
    "flat": "it is the same everywhere",
    "no evidence": "there is no evidence for it",
    "not a number": "its values are not numbers",
}
"""Why a map shows nothing, as the second half of a sentence."""

Fraction = tuple[Share, Share, Share, Share]
"""xyxy in shares of the picture, 0..1: left, top, right, bottom."""
Opaque = GetPydanticSchema(lambda *_: core_schema.any_schema())
Index = Annotated[int, Field(ge=0, le=100_000)]
Edge = Annotated[float, Field(ge=-100, le=100)]
Score = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, eq=False)
class Map:
    """A map over a picture; all places are shares of the picture."""

    label: Label
    """Name of what it explains; a number is part of it."""
    values: Annotated[NDArray[np.float32], Opaque]
    """float32 (h, w) in 0..1, of a signed map or a difference in -1..1."""
    score: Share | None = None
    """0..1; None where the answer is not among the predictions."""
    extent: tuple[Edge, Edge, Edge, Edge] = (0.0, 0.0, 1.0, 1.0)
    """The area that the values cover."""
    seen: Fraction | None = None
    """The part of the picture that the model saw; None: all of it."""
    kind: Kind = "heat"
    cells: tuple[Index, Index] | None = None
    """Rows and columns of the grid on which it was computed."""
    ends: tuple[Legible, Legible, Legible] = ("0", "0.5", "1")
    """What stands at the ends and in the middle of its colour bar: `lowers −3.1°`."""

    def field(self, width: int, height: int) -> MapField:
        """Return the map over a picture of this size in pixels."""
        shares = MapField(self.values, self.extent, self.seen or (0, 0, 1, 1), self.kind, self.cells)  # type: ignore[arg-type]
        return shares.scaled((1, 1), (width, height))


@dataclass(frozen=True)
class Box:
    """An outline with a name over a picture."""

    points: Annotated[tuple[tuple[Edge, Edge], ...], Field(min_length=2, max_length=100)]
    """Corners, x and y in shares of the picture, which they may leave."""
    text: Legible
    explained: bool = False
    """Whether the picture's map is of it."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of a view, with what a model answers about it."""

    name: Label
    """Whose answers they are, or what it shows: `EfficientNet-Lite0`."""
    source: Annotated[Image | bytes, Opaque]
    """The picture, or a JPEG of it."""
    size: tuple[Index, Index]
    """Width and height of `jpeg` in pixels."""
    caption: Annotated[str, Field(max_length=500)] = ""
    """Its name where it is one of several."""
    map: Map | None = None
    answers: Annotated[tuple[tuple[Label, Share], ...], Field(max_length=MAX_BOXES)] = ()
    """(label, score in 0..1), most sure first; none where scores do not say how sure the model is."""
    boxes: Annotated[tuple[Box, ...], Field(max_length=MAX_BOXES)] = ()

    @staticmethod
    def of(image: Image, name: str, **more: Any) -> Picture:
        """Return the picture of an image."""
        return Picture(name[:200], image, reduced_size(image.width, image.height, PICTURE_SIDE), **more)

    @property
    def image(self) -> Image:
        """The picture in full, where it was not saved."""
        return self.source if isinstance(self.source, Image) else Image.open(self.source)

    @property
    def jpeg(self) -> bytes:
        """The picture as a file, at most PICTURE_SIDE pixels long."""
        if isinstance(self.source, bytes):
            return self.source
        if self.source not in _JPEGS:
            _JPEGS[self.source] = to_jpeg(self.source.thumbnail(PICTURE_SIDE), QUALITY)
        return _JPEGS[self.source]


_JPEGS: MutableMapping[Image, bytes] = WeakKeyDictionary()


def reduced_size(width: int, height: int, longest: int) -> tuple[int, int]:
    """Scale (width, height) down to at most `longest` a side."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


LineName = Literal["map", "strongest", "random", "blobs", "centre", "edges"]
"""The map's own, and those of its controls."""


@dataclass(frozen=True)
class ChartLine:
    """The scores of a map or a control, by the share of the picture that is hidden and that is kept."""

    name: LineName
    title: Legible
    hidden: Annotated[tuple[Score, ...], Field(min_length=2, max_length=1_000)]
    """At equal steps from 0 to 1, hottest first."""
    kept: Annotated[tuple[Score, ...], Field(min_length=2, max_length=1_000)]


@dataclass(frozen=True)
class Chart:
    """Curves of one map and its controls, and what follows from them."""

    label: Label
    """Name of the answer whose score it is."""
    sentence: Annotated[
        str, Field(max_length=2 * MAX_SENTENCE), AfterValidator(lambda text: legible(text, 2 * MAX_SENTENCE))
    ]
    curves: Annotated[tuple[ChartLine, ...], Field(min_length=1, max_length=10)]
    picture: Index = 0
    """Index of the picture whose map was proved."""


@dataclass(frozen=True)
class ScoreBar:
    """The score of one of several models on labelled pictures, with its interval."""

    name: Legible
    text: Legible
    """The score in words: `69 % right`."""
    value: Share
    low: Share
    high: Share


@dataclass(frozen=True, eq=False)
class View:
    """Everything that is said and shown of one thing, self-contained.

    >>> View("When does it lie?", "Where the model goes by something else than you do.", kind="words").sentence
    'Where the model goes by something else than you do.'
    """

    title: Annotated[str, Field(max_length=MAX_TITLE)]
    """A statement in a few words."""
    sentence: Annotated[str, Field(max_length=MAX_SENTENCE)] = ""
    """Below the title."""
    pictures: Annotated[tuple[Picture, ...], Field(max_length=MAX_PICTURES)] = ()
    charts: Annotated[tuple[Chart, ...], Field(max_length=MAX_PICTURES)] = ()
    kind: Literal["picture", "clip", "words", "text"] = "picture"
    """The last two have no pictures: a large title, and a headline above a text."""
    display: Style = VIEWER_STYLE
    """How its maps are drawn first."""
    clip: Annotated[bytes | None, Opaque] = None
    """MP4; its first frame is the picture."""
    made: Annotated[str, Field(max_length=MAX_MADE)] = ""
    """Model and method: `EfficientNet-Lite0 · HiResCAM`."""
    date: Annotated[str, Field(max_length=10)] = ""
    """The day on which its maps were made, as `2026-11-25`; empty where it is not known."""
    facts: Annotated[tuple[Legible, ...], Field(max_length=MAX_FACTS)] = ()
    """Figures in words instead of a picture's answers, `75 % right`, or moments of a clip, `0:02 sports car`."""
    sides: Annotated[tuple[Legible, ...], Field(max_length=2)] = ()
    """What red and what blue mean in a difference."""
    scores: Annotated[tuple[ScoreBar, ...], Field(max_length=MAX_PICTURES)] = ()
    """A chart in place of pictures."""
    left_out: Annotated[str, Field(max_length=MAX_SENTENCE)] = ""
    """What was not counted in it; said before an export."""

    @property
    def empty(self) -> bool:
        """Whether nothing stands on it yet: files leave it out."""
        return not (self.title or self.sentence or self.pictures or self.scores)


def shorten(text: str, most: int) -> str:
    """Cut a text at a word, with an ellipsis."""
    text = text.strip()
    if len(text) <= most:
        return text
    return f"{text[: most - 1].rsplit(maxsplit=1)[0]}…"


def fraction(box: Sequence[float], size: tuple[int, int]) -> Fraction:
    """Return an xyxy box in pixels as shares of the picture."""
    left, top, right, bottom = (float(np.clip(at / of, 0, 1)) for at, of in zip(box, (*size, *size), strict=True))
    return left, top, right, bottom


def require_map(explanation: Result, index: int) -> Heatmap:
    """Return the heatmap at `index`. Raises Problem."""
    if not 0 <= index < (count := len(explanation.heatmaps)):
        raise Problem(f"There is no map {index} of {explanation.image.name} to export: there are {count}, from 0.")
    return explanation.heatmaps[index]


def reduce(pixels: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """Return the picture, uint8 (H, W, 3), with no side above `longest`."""
    size = reduced_size(pixels.shape[1], pixels.shape[0], longest)
    # INTER_AREA takes five times as long, and differs only where pixels would be skipped.
    interpolation = cv2.INTER_LINEAR if 2 * size[0] >= pixels.shape[1] else cv2.INTER_AREA
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation), dtype=np.uint8)
