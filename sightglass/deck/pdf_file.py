"""Export a deck as PDF."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from typing import TYPE_CHECKING

from fpdf import FPDF
from PIL import Image as Pillow

from sightglass.common.files import packing
from sightglass.deck import drawing, layout
from sightglass.deck.items import (
    LIGHT,
    LINE,
    TAG_GROUNDS,
    Block,
    Curves,
    Drawers,
    Film,
    Key,
    Logo,
    PageRect,
    Sight,
    Text,
    Theme,
)
from sightglass.deck.layout import HEIGHT, WIDTH
from sightglass.deck.words import SMALL
from sightglass.explain.phrases import shorten
from sightglass.export.proof.chart import ChartFrame, Pen, draw_chart, draw_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sightglass.deck import Scene
    from sightglass.deck.items import Colour, Footer

_MM = 2.0
"""Millimetres of a unit of the layout: a page of 320 x 180."""
_POINTS = 72 / 25.4
_PLAIN, _OTHERS = "helvetica", "others"
"""Every reader has the first, with the widths of Arial; the second has the letters that it lacks."""


@dataclass(frozen=True)
class _Sheet:
    """A page that is drawn."""

    page: FPDF
    theme: Theme


def deck_pdf(scenes: Sequence[Scene], title: str, theme: Theme = LIGHT, footer: Footer | None = None) -> bytes:
    """Return a PDF to hand out: each slide with the map that it begins with; of a clip the first frame. Raise a Problem
    for no slides.

        Path("deck.pdf").write_bytes(deck_pdf(scenes, "When does a heat map lie?"))
    """
    layout.check(scenes)
    page = _document(title)
    drawers: Drawers = {Text: _text, Block: _block, Sight: _sight, Key: _key, Curves: _curves, Film: _film, Logo: _logo}
    for scene, laid in drawing.numbered(scenes, footer):
        page.add_page()
        page.set_fill_color(*theme.ground)
        page.rect(0, 0, WIDTH * _MM, HEIGHT * _MM, style="F")
        laid.draw(_Sheet(page, theme), scene, drawers)
    return bytes(page.output())


def _document(title: str) -> FPDF:
    page = FPDF(orientation="L", unit="mm", format=(HEIGHT * _MM, WIDTH * _MM))
    page.set_margin(0)
    page.set_auto_page_break(False)
    page.c_margin = 0
    page.set_title(title)
    page.set_creator("Sightglass")
    page.set_lang("en")
    return page


def _letters(page: FPDF, size: float, colour: Colour, *, bold: bool = False, family: str = _PLAIN) -> None:
    if family == _OTHERS and f"{_OTHERS}{'B' if bold else ''}" not in page.fonts:
        page.add_font(_OTHERS, "B" if bold else "", str(packing.font("DejaVuSans-Bold" if bold else "DejaVuSans")))
    page.set_font(family, "B" if bold else "", size * _MM * _POINTS)
    page.set_text_color(*colour)


def _text(on: _Sheet, _: Scene, item: Text) -> None:
    page, place = on.page, item.place
    tag = TAG_GROUNDS.get(item.tone)
    if tag is not None:
        page.set_fill_color(*tag)
        page.rect(place.left * _MM, place.top * _MM, place.width * _MM, place.height * _MM, style="F")
        place = PageRect(
            place.left + 0.5, place.top + (place.height - item.size * LINE) / 2, place.width - 0.5, item.size * LINE
        )
    for row, line in enumerate(_lines(page, item, place.width)):
        wide = sum(_width(page, run, item) for run in _runs(line))
        left = place.left + (place.width - wide if item.right else 0)
        for run in _runs(line):
            _set(page, run, item, on.theme.tone(item.tone))
            page.text(left * _MM, (place.top + (row * LINE + 0.93) * item.size) * _MM, run)
            left += _width(page, run, item)


def _lines(page: FPDF, item: Text, width: float) -> Iterator[str]:
    """Yield the words of a text, broken where they reach its width."""
    for paragraph in item.words.splitlines():
        line = ""
        for word in paragraph.split(" "):
            tried = f"{line} {word}" if line else word
            if line and sum(_width(page, run, item) for run in _runs(tried)) > width:
                yield line
                line = word
            else:
                line = tried
        yield line


def _runs(words: str) -> list[str]:
    """Return words in parts that one font has each."""
    return ["".join(letters) for _, letters in groupby(words, _is_plain)]


def _is_plain(letter: str) -> bool:
    return letter.encode("latin-1", "ignore") != b""


def _set(page: FPDF, run: str, item: Text, colour: Colour) -> None:
    _letters(page, item.size, colour, bold=item.bold, family=_PLAIN if _is_plain(run[:1]) else _OTHERS)


def _width(page: FPDF, run: str, item: Text) -> float:
    _set(page, run, item, (0, 0, 0))
    return float(page.get_string_width(run)) / _MM


def _block(on: _Sheet, _: Scene, item: Block) -> None:
    place = item.place
    on.page.set_fill_color(*getattr(on.theme, item.colour))
    on.page.rect(place.left * _MM, place.top * _MM, place.width * _MM, place.height * _MM, style="F")


def _sight(on: _Sheet, scene: Scene, item: Sight) -> None:
    """Draw the picture, one map over it, and the boxes as lines."""
    panel = scene.panels[item.panel] if item.panel < len(scene.panels) else None
    given = panel.maps[item.map] if panel is not None and item.map is not None else None
    below = drawing.picture_of(scene, item.panel, on.theme.name)
    _image(on.page, drawing.under_map(below, given, scene, on.theme.name), item.place)
    for i, (box, *_) in enumerate(panel.boxes if panel is not None and item.boxes else ()):
        _box(on.page, item.place, box, chosen=i in item.chosen)


def _image(page: FPDF, drawn: Pillow.Image, place: PageRect) -> None:
    out = BytesIO()
    drawn.save(out, "JPEG", quality=90, subsampling=0)
    out.seek(0)
    page.image(out, place.left * _MM, place.top * _MM, place.width * _MM, place.height * _MM)


def _box(page: FPDF, place: PageRect, box: tuple[float, float, float, float], *, chosen: bool) -> None:
    left, top = (place.left + box[0] * place.width) * _MM, (place.top + box[1] * place.height) * _MM
    wide, high = (box[2] - box[0]) * place.width * _MM, (box[3] - box[1]) * place.height * _MM
    thick = 1.0 if chosen else 0.5
    for colour, width in (((20, 20, 20), thick + 0.8), ((255, 255, 255), thick)):
        page.set_draw_color(*colour)
        page.set_line_width(width)
        page.rect(left, top, wide, high)


def _key(on: _Sheet, scene: Scene, item: Key) -> None:
    bar, weak, strong = drawing.key_parts(item)
    _image(on.page, Pillow.fromarray(drawing.gradient(item.colours)), bar)
    _text(on, scene, weak)
    _text(on, scene, strong)


def _logo(on: _Sheet, _: Scene, item: Logo) -> None:
    place = item.place
    on.page.image(BytesIO(item.file), place.left * _MM, place.top * _MM, place.width * _MM, place.height * _MM)


def _curves(on: _Sheet, scene: Scene, item: Curves) -> None:
    assert scene.proof is not None
    page, theme, place = on.page, on.theme, item.place
    drawn = layout.chart(scene.proof)
    inks = {"map": _hex(theme.accent), "random": _hex(theme.ink)}
    pen = Pen(inks, grid=_hex(theme.track), zero=_hex(theme.quiet), thin=0.3, line=0.9, bold=1.4, gaps=(2, 1.6, 7, 15))
    frame = ChartFrame(place.width * _MM, place.height * _MM, 15, 6, 8 * len(drawn.lines) + 4, 20)
    left, top = place.left * _MM, place.top * _MM
    _letters(page, SMALL, theme.soft)
    draw_chart(page, drawn, frame, (left, top), pen)
    for i, line in enumerate(drawn.lines):
        high = top + 3 + 7.5 * i
        draw_line(page, line.name, [(left, high), (left + 12, high)], pen)
        page.text(left + 15, high + 1.6, shorten(line.title, place.width * _MM - 15, page.get_string_width))


def _hex(colour: Colour) -> str:
    return f"#{bytes(colour).hex()}"


def _film(on: _Sheet, scene: Scene, item: Film) -> None:
    assert scene.clip is not None
    frame = scene.picture or drawing.first_frame(scene.clip)
    if frame is not None:
        _image(on.page, Pillow.open(BytesIO(frame)).convert("RGB"), item.place)
