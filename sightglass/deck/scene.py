"""The contents of a slide: pictures, maps, numbers.

`payload` packs scenes for the history and for a deck's file; `scenes` takes them apart again, those of former versions
too: fields that they have and a scene has not are left out. Nothing here imports torch.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, GetPydanticSchema, TypeAdapter
from pydantic_core import core_schema

from sightglass.common.errors import Problem
from sightglass.common.files.packing import pack_data, unpack_data
from sightglass.common.legible import legible
from sightglass.common.typed_text import line
from sightglass.explain.recipe import Label, Legible, Share
from sightglass.explain.rendering.style import VIEWER_STYLE, Mode, Style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json


VERSION = 1
MAX_SIDE, PICTURE_SIDE = 960, 1920
"""Maximum cells of a map's longer side, and pixels of a picture's."""
MAX_SCENES, MAX_PANELS, MAX_MAPS, MAX_BOXES, MAX_BARS = 200, 8, 9, 100, 6
"""Maximum number of scenes of a deck, of panels and of bars of a scene, and of maps and boxes of a panel."""
MAX_TITLE, MAX_SENTENCE, MAX_NOTES, MAX_CHECKS, MAX_MADE = 120, 400, 4_000, 160, 240
"""Maximum number of letters."""
UNREADABLE = "These slides cannot be read: they are damaged, or of a newer version."

Kind = Literal["picture", "models", "classes", "story", "row", "clip", "words", "text", "columns"]
"""The last three have no pictures: a title, a text, two columns of it."""
Fraction = tuple[Share, Share, Share, Share]
"""xyxy in shares of the picture, 0..1: left, top, right, bottom."""
ChecksLine = Annotated[
    str, Field(max_length=MAX_CHECKS), AfterValidator(lambda text: text and legible(text, MAX_CHECKS))
]
Index = Annotated[int, Field(ge=0, le=100_000)]
Scores = Annotated[tuple[Share, ...], Field(min_length=2)]


@dataclass(frozen=True, eq=False)
class SceneMap:
    """A heatmap of one answer."""

    label: Label
    score: Share | None
    """0..1; None where the answer is not among the predictions."""
    values: Annotated[NDArray[np.uint8], GetPydanticSchema(lambda *_: core_schema.any_schema())]
    """uint8 (h, w), 0..255 for 0..1, on the picture's own grid reduced to at most MAX_SIDE a side; 0 outside `seen`.

    Of a signed map 1..255 around 128 for -1..1.
    """
    box: Fraction | None = None
    """The detector's box that the map explains; None if there is none, or several."""
    seen: Fraction | None = None
    """The part of the picture that the model saw; None: all of it."""
    seal: ChecksLine = ""
    """`Checks.line` of a map whose checks ran: `✓ changes with the model: yes · …`."""
    signed: bool = False
    """It has a sign: what raises the number, and what lowers it."""
    ends: tuple[Legible, Legible] = ("", "")
    """Of a signed map: what stands at the two ends of its key, `lowers −3.1°`."""


@dataclass(frozen=True)
class Panel:
    """One model's answers about the picture of a scene."""

    name: Label
    """The model's title: `EfficientNet-Lite0`."""
    answers: Annotated[tuple[tuple[Label, Share], ...], Field(max_length=MAX_BOXES)] = ()
    """(label, score in 0..1), most sure first; of a detector those of its boxes."""
    maps: Annotated[tuple[SceneMap, ...], Field(max_length=MAX_MAPS)] = ()
    """Of the answers that have a map, in the order of the view they come from."""
    boxes: Annotated[tuple[tuple[Fraction, Label, Share], ...], Field(max_length=MAX_BOXES)] = ()
    """(box, label, score) of a detector, most sure first."""
    picture: bytes | None = None
    """JPEG of its own; None: the scene's."""
    size: tuple[Index, Index] = (0, 0)
    """Width and height of its own picture in pixels."""
    seen: Fraction | None = None
    """The part of its own picture that the model saw, where a map is drawn into that; around it the picture is
    dimmed."""


@dataclass(frozen=True)
class SceneProof:
    """What happens to the answer as the hottest places are hidden, or alone kept, beside random places."""

    label: Label
    """Of the answer that was proved."""
    shares: Scores
    """0..1, from nothing to the whole picture."""
    hide: Scores
    keep: Scores
    """Scores, 0..1, one at each share, of the first filling."""
    control_hide: Scores
    control_keep: Scores
    """Those of `control`: the mean over its maps, at the same shares."""
    sentence: Annotated[
        str, Field(max_length=MAX_SENTENCE * 2), AfterValidator(lambda text: legible(text, MAX_SENTENCE * 2))
    ]
    """What follows, measured: see `Proof.sentence`."""
    control: Legible = "Random places"
    """The control that is drawn: the strongest of them."""
    panel: Index = 0
    map: Index = 0
    """The panel, and its map, that was proved."""


@dataclass(frozen=True)
class SceneView:
    """Which map a scene shows first, and its style by the names under which it is stored."""

    panel: Index = 0
    map: Index = 0
    colormap: Annotated[str, Field(max_length=40)] = VIEWER_STYLE.colormap
    mode: Mode = VIEWER_STYLE.mode
    opacity: Share = VIEWER_STYLE.alpha
    """0..1, as the viewer's."""
    threshold: Share = VIEWER_STYLE.threshold
    """0..1: values below it are not drawn."""
    hidden: bool = False
    """The slide is kept in its deck, and left out where that is presented and exported."""

    @property
    def style(self) -> Style:
        return Style(mode=self.mode, colormap=self.colormap, alpha=self.opacity, threshold=self.threshold)


@dataclass(frozen=True, eq=False)
class Scene:
    """One slide, self-contained.

    >>> scene = Scene("words", "When does it lie?", "Where the model goes by something else than you do.")
    >>> scenes(payload([scene]))[0].title
    'When does it lie?'
    """

    kind: Kind
    """`models`: one panel a model, small to large. `classes`: one panel a class, with its map alone.
    `story`: a panel a step, as the cheat's two models. `row`: pictures beside each other, each with its own name.
    `text` and `columns`: words alone, in one column or in two, parted by an empty line."""
    title: Annotated[str, Field(max_length=MAX_TITLE)]
    sentence: Annotated[str, Field(max_length=MAX_SENTENCE)]
    notes: Annotated[str, Field(max_length=MAX_NOTES)] = ""
    """For the speaker."""
    picture: bytes | None = None
    """JPEG."""
    size: tuple[Index, Index] = (0, 0)
    """Width and height of `picture` (of `clip`, for a clip) in pixels; zeros without one."""
    panels: Annotated[tuple[Panel, ...], Field(max_length=MAX_PANELS)] = ()
    proof: SceneProof | None = None
    clip: bytes | None = None
    """MP4."""
    view: SceneView = SceneView()
    commands: Annotated[tuple[Annotated[str, Field(max_length=4_000)], ...], Field(max_length=MAX_PANELS)] = ()
    """What makes its maps again, a command a panel, for notes and handouts; empty where there is none."""
    made: Annotated[str, Field(max_length=MAX_MADE)] = ""
    """Model and method: `EfficientNet-Lite0 · HiResCAM`."""
    bars: Annotated[tuple[tuple[Label, Share], ...], Field(max_length=MAX_BARS)] = ()
    """Scores of its own, (what of, 0..1), instead of a panel's answers."""
    numbers: Annotated[tuple[tuple[Legible, Legible], ...], Field(max_length=MAX_BARS)] = ()
    """Figures of its own: (value, what it is)."""
    sides: Annotated[tuple[Legible, ...], Field(max_length=2)] = ()
    """What red and what blue mean, where a panel's picture has a signed map drawn into it."""
    date: Annotated[str, Field(max_length=10)] = ""
    """The day on which its maps were made, as `2026-11-25`; decks of former versions have none."""


def payload(scenes: Sequence[Scene]) -> bytes:
    """Pack scenes by `pack_data`.

    The JSON is {version, scenes, sizes}: each scene its fields by name; `picture` and `clip` are the index of a blob or
    null; a map's `values` is {blob, shape: [h, w]}. Its blob is zlib-deflated bytes, each the difference (mod 256) to
    the one left of it, the first of a row to 0. A blob that occurs twice is packed once.
    """
    blobs: dict[bytes, int] = {}
    plain = [_plain(scene, blobs) for scene in scenes]
    return pack_data({"version": VERSION, "scenes": plain}, list(blobs))


def _plain(scene: Scene, blobs: dict[bytes, int]) -> Json:
    def index(data: bytes | None) -> int | None:
        return None if data is None else blobs.setdefault(data, len(blobs))

    picture, clip = index(scene.picture), index(scene.clip)
    panels = []
    for panel in scene.panels:
        maps = [
            vars(heatmap) | {"values": {"blob": index(_deflate(heatmap.values)), "shape": list(heatmap.values.shape)}}
            for heatmap in panel.maps
        ]
        panels.append(vars(panel) | {"maps": maps, "picture": index(panel.picture)})
    proof = None if scene.proof is None else asdict(scene.proof)
    fields = {"picture": picture, "panels": panels, "proof": proof, "clip": clip, "view": asdict(scene.view)}
    return vars(scene) | fields


def _deflate(values: NDArray[np.uint8]) -> bytes:
    steps = np.diff(values, axis=1, prepend=np.zeros((len(values), 1), np.uint8))
    return zlib.compress(np.ascontiguousarray(steps, np.uint8).tobytes(), 6)


def scenes(data: bytes) -> tuple[Scene, ...]:
    """Return the scenes of `payload`; strangers' bytes are validated.

    Raises Problem, one sentence, for anything that is damaged, too large or out of range.
    """
    try:
        head, blobs = unpack_data(data)
        if head["version"] != VERSION or len(head["scenes"]) > MAX_SCENES:
            raise ValueError("another version, or too many")
        return tuple(_scene(plain, blobs) for plain in head["scenes"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, zlib.error) as error:
        raise Problem(UNREADABLE) from error


def _scene(plain: Json, blobs: Sequence[bytes]) -> Scene:
    """Return a scene from its JSON; raise ValueError and others."""
    files = {name: None if plain[name] is None else blobs[_READ_INDEX(plain[name])] for name in ("picture", "clip")}
    if not (files["picture"] or JPEG).startswith(JPEG) or (files["clip"] or MP4)[4:8] != MP4[4:8]:
        raise ValueError("no JPEG, or no MP4")
    panels = []
    for panel in plain["panels"][: MAX_PANELS + 1]:
        maps = [heatmap | {"values": _inflate(heatmap["values"], blobs)} for heatmap in panel["maps"][: MAX_MAPS + 1]]
        picture = None if panel.get("picture") is None else blobs[_READ_INDEX(panel["picture"])]
        if not (picture or JPEG).startswith(JPEG):
            raise ValueError("no JPEG")
        panels.append(panel | {"maps": maps, "picture": picture})
    scene: Scene = _READ_SCENE(plain | files | {"panels": panels})
    for at in (scene.view, scene.proof):
        if at and scene.panels and at.map >= max(len(scene.panels[at.panel].maps), 1):
            raise ValueError("no such map")
    if proof := scene.proof:
        curves = (proof.hide, proof.keep, proof.control_hide, proof.control_keep)
        if any(len(curve) != len(proof.shares) for curve in curves):
            raise ValueError("curves of other lengths")
    return scene


def _inflate(plain: Json, blobs: Sequence[bytes]) -> NDArray[np.uint8]:
    height, width = map(_READ_INDEX, plain["shape"])
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise ValueError("no map's size")
    # No more than it may hold: a few bytes can inflate to gigabytes.
    steps = zlib.decompressobj().decompress(blobs[_READ_INDEX(plain["blob"])], height * width + 1)
    values = np.frombuffer(steps, np.uint8).reshape(height, width)
    return np.add.accumulate(values, axis=1, dtype=np.uint8)


JPEG, MP4 = b"\xff\xd8\xff", b"\0\0\0\0ftyp"
_READ_INDEX = TypeAdapter(Index).validate_python
_READ_SCENE = TypeAdapter(Scene).validate_python


MAX_NAME = 120
"""Letters of a deck's title."""


@dataclass(frozen=True)
class Slide:
    """An entry of a deck. What is drawn of it is read on demand: `Decks.scene`."""

    id: str
    kind: Kind
    title: str
    sentence: str
    notes: str
    view: SceneView
    records: tuple[str, ...]
    """Ids of the history's records that it shows; they may have been deleted since, which changes no slide."""


@dataclass(frozen=True)
class Deck:
    """Slides in their order."""

    id: str
    title: str
    slides: tuple[Slide, ...]
    created: datetime
    changed: datetime
    """Aware, in UTC."""
    ready: str = ""
    """Which of the ready decks it is; empty for one of somebody's own."""
    theme: str = "dark"
    """Of `themes.THEMES`: how it is presented, and exported to PowerPoint and a page."""

    @property
    def shown(self) -> tuple[Slide, ...]:
        """The slides to present and export."""
        return tuple(slide for slide in self.slides if not slide.view.hidden)


@dataclass(frozen=True, eq=False)
class Removed:
    """A slide that was taken out of a deck, with everything that brings it back."""

    deck: str
    place: int
    slide: Slide
    data: bytes


def name(text: str) -> str:
    """Return a deck's title as one line, by default words. Raises Problem."""
    return line(text, MAX_NAME, "A deck's title") or "Untitled deck"
