"""Draw what all files of slides share: maps, keys, frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from av.error import FFmpegError
from PIL import Image as Pillow
from PIL import ImageDraw

from sightglass.deck.items import (
    DARK,
    LINE,
    TAG_GROUNDS,
    WIDTH,
    Bars,
    Footer,
    PageRect,
    Text,
    break_lines,
    cut_to_width,
    font,
    width_of,
)
from sightglass.deck.layout import chart, pages
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering import color_tables, contours
from sightglass.explain.rendering.render import fade, paint, samples
from sightglass.explain.rendering.style import Field, Style

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sightglass.deck import Scene, SceneMap, SceneView
    from sightglass.deck.items import Block, Colour, Curves, Film, Key, Logo, Page, Sight, Theme, ThemeName


class Painter(ABC):
    """Draws a page's items with what a kind of file has: texts, filled rectangles, pictures and boxes."""

    def __init__(self, theme: Theme) -> None:
        self.theme = theme

    def draw(self, scene: Scene, page: Page) -> None:
        """Draw the items in their order, each by the method of its name; bars as their parts."""
        for item in page.items:
            for part in item.parts() if isinstance(item, Bars) else (item,):
                getattr(self, type(part).__name__.lower())(scene, part)

    @abstractmethod
    def text(self, scene: Scene, item: Text) -> None: ...

    @abstractmethod
    def fill(self, place: PageRect, colour: Colour) -> None: ...

    @abstractmethod
    def image(self, drawn: Pillow.Image, place: PageRect, about: str = "") -> None: ...

    @abstractmethod
    def box(self, place: PageRect, words: str, *, chosen: bool) -> None: ...

    def block(self, _: Scene, item: Block) -> None:
        self.fill(item.place, getattr(self.theme, item.colour))

    def sight(self, scene: Scene, item: Sight) -> None:
        """Draw the picture, one map over it, and the boxes."""
        panel = scene.panels[item.panel] if item.panel < len(scene.panels) else None
        given = panel.maps[item.map] if panel is not None and item.map is not None else None
        below = picture_of(scene, item.panel, self.theme.name)
        self.image(under_map(below, given, scene, self.theme.name), item.place)
        self.boxes(scene, item)

    def boxes(self, scene: Scene, item: Sight) -> None:
        panel, at = scene.panels[item.panel] if item.boxes else None, item.place
        for i, ((left, top, right, bottom), label, score) in enumerate(panel.boxes if panel is not None else ()):
            size = (right - left) * at.width, (bottom - top) * at.height
            place = PageRect(at.left + left * at.width, at.top + top * at.height, *size)
            self.box(place, f"{label} {percent(score)}", chosen=i in item.chosen)

    def key(self, scene: Scene, item: Key) -> None:
        bar, *ends = key_parts(item)
        self.image(Pillow.fromarray(gradient(item.colours)), bar, f"From {item.ends[0]} to {item.ends[1]}")
        for end in ends:
            self.text(scene, end)

    def film(self, scene: Scene, item: Film) -> None:
        if (frame := poster(scene)) is not None:
            self.image(Pillow.open(BytesIO(frame)).convert("RGB"), item.place)


_COLD = 48
"""Grey of a map alone below the threshold, as in the viewer in the dark."""


def heat_layer(
    given: SceneMap, view: SceneView, picture: NDArray[np.uint8], theme: ThemeName = "dark"
) -> NDArray[np.uint8]:
    """Return a map as uint8 (h, w, 4), RGBA, on its own grid, as the viewer draws it over the picture.

    `picture`: the pixels below it, uint8 (H, W, 3). What the model did not see of them is opaque, in grey that fades
    towards the slide's ground.
    """
    values, height, width = given.values, *given.values.shape
    style = replace(view.style, mode="overlay") if view.mode == "picture" else view.style
    x0, y0, x1, y1 = given.seen or (0.0, 0.0, 1.0, 1.0)
    seen = round(x0 * width), round(y0 * height), max(1, round(x1 * width)), max(1, round(y1 * height))
    extent = 0.0, 0.0, float(width), float(height)
    if given.signed:
        # With the picture below it, which is grey there.
        signs = np.clip((values.astype(np.float32) - 128) / 127, -1, 1).astype(np.float32)
        below = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        drawn = paint(below, Field(signs, extent, seen, "signed"), style, unseen=theme)
        return np.dstack([drawn, np.full((height, width), 255, np.uint8)])
    colours, shares = _table(style)
    out = np.dstack([colours[values], np.rint(255 * shares[values]).astype(np.uint8)])
    field = Field((values / 255).astype(np.float32), extent, seen)
    planes = contours.planes(samples(field.values), field, style, (height, width), max(1.0, max(height, width) / 500))
    if planes is not None:
        _stroke(out, *planes)
    outside = np.ones((height, width), bool)
    outside[seen[1] : seen[3], seen[0] : seen[2]] = False
    if outside.any():
        below = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        out[outside] = np.dstack([fade(np.asarray(below, np.uint8), theme), np.full((height, width), 255, np.uint8)])[
            outside
        ]
    return out


def _table(style: Style) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the colour (256, 3) and the opacity (256,) of each level, from what the viewer multiplies and adds."""
    table = color_tables.of("heat", style, _COLD)
    if table is None:
        return np.zeros((256, 3), np.uint8), np.zeros(256, np.float32)
    keep, add = (np.asarray(part, np.float32) for part in table)
    shares = 1 - keep.reshape(256)
    colours = add.reshape(256, 3) / np.maximum(shares, 1e-6)[:, None]
    return np.rint(colours.clip(0, 255)).astype(np.uint8), shares


def _stroke(out: NDArray[np.uint8], halo: NDArray[np.uint8], line: NDArray[np.uint8]) -> None:
    """Lay a dark halo and a white line over a layer, in place."""
    for plane, grey, most in ((halo, contours.DARK, 0.75), (line, contours.WHITE, 1.0)):
        over = most * plane.astype(np.float32)[..., None] / 255
        under = out[..., 3:].astype(np.float32) / 255
        alpha = over + under * (1 - over)
        mixed = (grey * over + out[..., :3] * under * (1 - over)) / np.maximum(alpha, 1e-6)
        out[..., :3] = np.rint(mixed)
        out[..., 3:] = np.rint(255 * alpha)


_QUALITY = 92


def numbered(scenes: Sequence[Scene], footer: Footer | None = None) -> Iterator[tuple[Scene, Page]]:
    """Yield each page with its scene, numbered over the deck; a proof has the number of its slide."""
    for number, scene in enumerate(scenes, 1):
        for page in pages(scene, replace(footer or Footer(), number=number, count=len(scenes))):
            yield scene, page


def picture_of(scene: Scene, panel: int, theme: ThemeName = "dark") -> bytes:
    """Return the picture that a panel shows, JPEG; what the model did not see of one with a map in it is faded."""
    own = scene.panels[panel] if panel < len(scene.panels) else None
    file = own.picture if own is not None and own.picture is not None else scene.picture
    assert file is not None
    if own is None or own.picture is None or own.seen is None:
        return file
    pixels = np.asarray(Pillow.open(BytesIO(file)).convert("RGB"))
    (height, width), (x0, y0, x1, y1) = pixels.shape[:2], own.seen
    rows, columns = slice(round(y0 * height), round(y1 * height)), slice(round(x0 * width), round(x1 * width))
    drawn = fade(pixels, theme)
    drawn[rows, columns] = pixels[rows, columns]
    return to_jpeg(drawn, _QUALITY)


def under_map(picture: bytes, given: SceneMap | None, scene: Scene, theme: ThemeName = "dark") -> Pillow.Image:
    """Return the picture under a map's layer."""
    below = Pillow.open(BytesIO(picture)).convert("RGB")
    if given is None:
        return below
    drawn = heat_layer(given, scene.view, np.asarray(below), theme)
    layer = Pillow.fromarray(drawn).resize(below.size, Pillow.Resampling.BILINEAR)
    return Pillow.alpha_composite(below.convert("RGBA"), layer).convert("RGB")


def gradient(colours: Sequence[Colour]) -> NDArray[np.uint8]:
    """Return a strip that runs through colours, uint8 (16, 256, 3)."""
    at, stops = np.linspace(0, 1, 256), np.linspace(0, 1, len(colours))
    channels = [np.interp(at, stops, [colour[i] for colour in colours]) for i in range(3)]
    return np.repeat(np.rint(np.stack(channels, -1)).astype(np.uint8)[None], 16, 0)


def key_parts(item: Key) -> tuple[PageRect, Text, Text]:
    """Return where a key's colours are, and the words at its ends, below them."""
    place, high = item.place, item.size * LINE
    bar = PageRect(place.left, place.top, place.width, place.height - high)
    below = PageRect(place.left, bar.bottom, place.width, high)
    widths = [width_of(end) * item.size for end in item.ends]
    share = min(0.75, max(0.25, widths[0] / max(sum(widths), 1e-6)))
    rooms = share * place.width, (1 - share) * place.width
    words = [cut_to_width(end, room, item.size) for end, room in zip(item.ends, rooms, strict=True)]
    left = Text("Key left", words[0], replace(below, width=rooms[0]), item.size, tone="soft")
    rest = replace(below, left=below.left + rooms[0], width=rooms[1])
    return bar, left, Text("Key right", words[1], rest, item.size, tone="soft", right=True)


def poster(scene: Scene) -> bytes | None:
    """Return the picture of a clip's scene, else the clip's first frame as a JPEG; None where it cannot be decoded."""
    if scene.picture or scene.clip is None:
        return scene.picture
    try:
        with av.open(BytesIO(scene.clip), "r") as file:
            frame = next(file.decode(video=0))
        return to_jpeg(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
    except (FFmpegError, StopIteration, IndexError):
        return None


_SMALL_QUALITY = 84
_SCALE = 3
"""Pixels of a unit: a small slide is 480 x 270."""


def thumbnail(scene: Scene) -> bytes:
    """Return the page of a scene, small for lists, as a JPEG of 16:9."""
    painter = _SmallPainter(DARK)
    painter.draw(scene, pages(scene)[0])
    return to_jpeg(np.asarray(painter.on), _SMALL_QUALITY)


def _rect(place: PageRect) -> tuple[int, int, int, int]:
    left, top = round(place.left * _SCALE), round(place.top * _SCALE)
    return left, top, max(left + 1, round(place.right * _SCALE)), max(top + 1, round(place.bottom * _SCALE))


class _SmallPainter(Painter):
    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.on = Pillow.new("RGB", (int(WIDTH * _SCALE), int(WIDTH * _SCALE * 9 / 16)), theme.ground)
        self.pen = ImageDraw.Draw(self.on)

    def text(self, _: Scene, item: Text) -> None:
        place = item.place
        if (ground := TAG_GROUNDS.get(item.tone)) is not None:
            self.fill(place, ground)
        letters = font(max(5, round(item.size * _SCALE)), item.bold)
        for row, line in enumerate(break_lines(item.words, place.width + 0.5, item.size, bold=item.bold)):
            left = place.right * _SCALE - letters.getlength(line) if item.right else place.left * _SCALE
            at = left, (place.top + row * item.size * LINE) * _SCALE
            self.pen.text(at, line, self.theme.tone(item.tone), letters)

    def fill(self, place: PageRect, colour: Colour) -> None:
        self.pen.rectangle(_rect(place), colour)

    def image(self, drawn: Pillow.Image, place: PageRect, about: str = "") -> None:
        left, top, right, bottom = _rect(place)
        self.on.paste(drawn.convert("RGB").resize((right - left, bottom - top), Pillow.Resampling.BOX), (left, top))

    def box(self, place: PageRect, words: str, *, chosen: bool) -> None:
        self.pen.rectangle(_rect(place), outline=(255, 255, 255))

    def curves(self, scene: Scene, item: Curves) -> None:
        assert scene.proof is not None
        drawn, place = chart(scene.proof), item.place
        for line in drawn.lines:
            across = np.linspace(place.left, place.right, len(line.hidden)) * _SCALE
            down = (place.bottom - np.array(line.hidden) * place.height) * _SCALE
            colour = self.theme.accent if line.name == "map" else self.theme.ink
            self.pen.line(list(zip(across, down, strict=True)), colour, 2)

    def logo(self, _: Scene, item: Logo) -> None:
        self.image(Pillow.open(BytesIO(item.file)), item.place)
