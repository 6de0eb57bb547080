"""Draw what all files of slides share: maps, keys, frames."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image as Pillow

from sightglass.deck.slide.footer import Footer
from sightglass.deck.slide.heat_layer import heat_layer
from sightglass.deck.slide.items import PageRect, Text
from sightglass.deck.slide.layout import pages
from sightglass.deck.slide.text_fit import LINE, cut_to_width, width_of
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering.render import fade

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sightglass.deck import Scene, SceneMap
    from sightglass.deck.slide.items import Key, Page
    from sightglass.deck.slide.themes import Colour, ThemeName

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


def gradient(colours: Sequence[Colour], width: int = 256, height: int = 16) -> NDArray[np.uint8]:
    """Return a strip that runs through colours, uint8 (height, width, 3)."""
    at, stops = np.linspace(0, 1, width), np.linspace(0, 1, len(colours))
    channels = [np.interp(at, stops, [colour[i] for colour in colours]) for i in range(3)]
    return np.repeat(np.rint(np.stack(channels, -1)).astype(np.uint8)[None], height, 0)


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


def first_frame(clip: bytes) -> bytes | None:
    """Return the first frame of an MP4 as a JPEG; None where it cannot be decoded."""
    try:
        with av.open(BytesIO(clip), "r") as file:
            frame = next(file.decode(video=0))
        return to_jpeg(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
    except (FFmpegError, StopIteration, IndexError):
        return None
