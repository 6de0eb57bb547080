"""A view: one thing that a page shows, as slides and their files show it.

No writer of slides asks what a model answers: all of it is in the `View`. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import GetPydanticSchema
from pydantic_core import core_schema

from sightglass.common.errors import Problem
from sightglass.explain.picture.image import Image, to_jpeg
from sightglass.explain.rendering.style import VIEWER_STYLE, Field, Style

if TYPE_CHECKING:
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.result import Result

PICTURE_SIDE = 1920
"""Maximum pixels of a slide's picture."""
QUALITY = 88
"""Quality of its JPEG."""
MAX_PICTURES, MAX_BOXES = 8, 100
"""Maximum number of pictures of a view, and of boxes of a picture."""
MAX_TITLE, MAX_SENTENCE, MAX_MADE = 120, 400, 240
"""Maximum number of letters."""
STATES = {
    "flat": "it is the same everywhere",
    "no evidence": "there is no evidence for it",
    "not a number": "its values are not numbers",
}
"""Why a map shows nothing, as the second half of a sentence."""


@dataclass(frozen=True, eq=False)
class Map:
    """A map over a picture."""

    label: str
    """Name of what it explains; a number is part of it."""
    field: Annotated[Field, GetPydanticSchema(lambda *_: core_schema.any_schema())]
    """Its values, and their place in pixels of the picture."""
    score: float | None = None
    """0..1; None where the answer is not among the predictions."""
    ends: tuple[str, str, str] = ("0", "0.5", "1")
    """What stands at the ends and in the middle of its colour bar: `lowers −3.1°`."""


@dataclass(frozen=True)
class Box:
    """An outline with a name over a picture."""

    points: tuple[tuple[float, float], ...]
    """Corners, x and y in shares of the picture, which they may leave."""
    text: str
    explained: bool = False
    """Whether the picture's map is of it."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of a view, with what a model answers about it."""

    name: str
    """Whose answers they are, or what it shows: `EfficientNet-Lite0`."""
    jpeg: bytes
    """The picture as a file, at most PICTURE_SIDE pixels long."""
    size: tuple[int, int]
    """Width and height of `jpeg` in pixels."""
    caption: str = ""
    """Its name where it is one of several."""
    map: Map | None = None
    answers: tuple[tuple[str, float], ...] = ()
    """(label, score in 0..1), most sure first; none where scores do not say how sure the model is."""
    boxes: tuple[Box, ...] = ()

    @staticmethod
    def of(image: Image, name: str, map: Map | None = None, **more: Any) -> Picture:
        """Return the picture of an image; `map`: its field is in pixels of the image."""
        size = reduced_size(image.width, image.height, PICTURE_SIDE)
        if map is not None:
            map = replace(map, field=map.field.scaled((image.width, image.height), size))
        return Picture(name[:200], _encode(image), size, map=map, **more)


@lru_cache(2)
def _encode(image: Image) -> bytes:
    return to_jpeg(image.thumbnail(PICTURE_SIDE), QUALITY)


def reduced_size(width: int, height: int, longest: int) -> tuple[int, int]:
    """Scale (width, height) down to at most `longest` a side."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


LineName = Literal["map", "strongest", "random"]
"""The map's own, and those of its controls."""


@dataclass(frozen=True)
class ChartLine:
    """The scores of a map or a control, by the share of the picture that is hidden and that is kept."""

    name: LineName
    title: str
    hidden: tuple[float, ...]
    """At equal steps from 0 to 1, hottest first."""
    kept: tuple[float, ...]


@dataclass(frozen=True)
class Chart:
    """Curves of one map and its controls, and what follows from them."""

    label: str
    """Name of the answer whose score it is."""
    sentence: str
    curves: tuple[ChartLine, ...]
    picture: int = 0
    """Index of the picture whose map was proved."""


@dataclass(frozen=True)
class ScoreBar:
    """A number of one of several models, with its interval."""

    name: str
    text: str
    """The score in words: `69 % right`."""
    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class View:
    """Everything that is said and shown of one thing, self-contained.

    >>> View("When does it lie?", "Where the model goes by something else than you do.", kind="words").sentence
    'Where the model goes by something else than you do.'
    """

    title: str
    """A statement in a few words."""
    sentence: str = ""
    """Below the title."""
    pictures: tuple[Picture, ...] = ()
    charts: tuple[Chart, ...] = ()
    kind: Literal["picture", "clip", "words", "text"] = "picture"
    """The last two have no pictures: a large title, and a headline above a text."""
    display: Style = VIEWER_STYLE
    """How its maps are drawn first."""
    clip: bytes | None = None
    """MP4; its first frame is the picture."""
    made: str = ""
    """Model and method: `EfficientNet-Lite0 · HiResCAM`."""
    date: str = ""
    """The day on which its maps were made, as `25 Nov 2026`; empty where it is not known."""
    facts: tuple[str, ...] = ()
    """Figures in words instead of a picture's answers, `75 % right`, or moments of a clip, `0:02 sports car`."""
    sides: tuple[str, ...] = ()
    """What red and what blue mean in a difference."""
    scores: tuple[ScoreBar, ...] = ()
    """A chart in place of pictures: shares with their 95 % intervals, or what `axis` says."""
    axis: str = ""
    """What the numbers of the chart are, where they are no shares: `ms of one pass`."""
    left_out: str = ""
    """What was not counted in it; said before an export."""

    @property
    def empty(self) -> bool:
        """Whether nothing stands on it yet: files leave it out."""
        return not (self.title or self.sentence or self.pictures or self.scores)


def shorten(text: str, most: int) -> str:
    """Cut a text at a word or before a bracket, with an ellipsis, and close a quotation that is cut."""
    text, most = text.strip(), most - ("“" in text)
    if len(text) > most:
        cut = text[: most - 1].rsplit(maxsplit=1)[0]
        if cut.count("(") > cut.count(")") and cut.rpartition("(")[0].strip():
            cut = cut.rpartition("(")[0].rstrip()
        text = f"{cut}…"
    return f"{text}”" if text.count("“") > text.count("”") else text


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
