"""Export a deck as PDF."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from itertools import groupby
from typing import TYPE_CHECKING

from fpdf import FPDF
from PIL import Image as Pillow

from sightglass.common.files import packing
from sightglass.deck import layout
from sightglass.deck.drawing import Painter, numbered
from sightglass.deck.items import HEIGHT, LIGHT, LINE, TAG_GROUNDS, WIDTH, PageRect, Text, Theme, break_lines
from sightglass.deck.words import SMALL
from sightglass.explain.phrases import shorten
from sightglass.export.proof.chart import ChartFrame, Pen, draw_chart, draw_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.deck import Scene
    from sightglass.deck.items import Colour, Curves, Footer, Logo

_MM = 2.0
"""Millimetres of a unit of the layout: a page of 320 x 180."""
_POINTS = 72 / 25.4
_PLAIN, _OTHERS = "helvetica", "others"
"""Every reader has the first, with the widths of Arial; the second has the letters that it lacks."""


def deck_pdf(scenes: Sequence[Scene], title: str, theme: Theme = LIGHT, footer: Footer | None = None) -> bytes:
    """Return a PDF to hand out: each slide with the map that it begins with; of a clip the first frame. Raise a Problem
    for no slides.

        Path("deck.pdf").write_bytes(deck_pdf(scenes, "When does a heat map lie?"))
    """
    layout.check(scenes)
    painter = _Painter(theme, title)
    for scene, page in numbered(scenes, footer):
        painter.page.add_page()
        painter.fill(PageRect(0, 0, WIDTH, HEIGHT), theme.ground)
        painter.draw(scene, page)
    return bytes(painter.page.output())


def _rect(place: PageRect) -> tuple[float, float, float, float]:
    return place.left * _MM, place.top * _MM, place.width * _MM, place.height * _MM


def _runs(words: str) -> list[str]:
    """Return words in parts that one font has each."""
    return ["".join(letters) for _, letters in groupby(words, _is_plain)]


def _is_plain(letter: str) -> bool:
    return letter.encode("latin-1", "ignore") != b""


def _hex(colour: Colour) -> str:
    return f"#{bytes(colour).hex()}"


class _Painter(Painter):
    def __init__(self, theme: Theme, title: str) -> None:
        super().__init__(theme)
        self.page = page = FPDF(orientation="L", unit="mm", format=(HEIGHT * _MM, WIDTH * _MM))
        page.set_margin(0)
        page.set_auto_page_break(False)
        page.c_margin = 0
        page.set_title(title)
        page.set_creator("Sightglass")
        page.set_lang("en")

    def text(self, _: Scene, item: Text) -> None:
        place = item.place
        if (ground := TAG_GROUNDS.get(item.tone)) is not None:
            self.fill(place, ground)
            high = item.size * LINE
            place = PageRect(place.left + 0.5, place.top + (place.height - high) / 2, place.width - 0.5, high)
        lines = break_lines(item.words, place.width, item.size, measure=partial(self._wide, item=item))
        for row, line in enumerate(lines):
            left = place.left + (place.width - self._wide(line, item) if item.right else 0)
            for run in _runs(line):
                self._set(run, item, self.theme.tone(item.tone))
                self.page.text(left * _MM, (place.top + (row * LINE + 0.93) * item.size) * _MM, run)
                left += self._width(run, item)

    def _wide(self, words: str, item: Text) -> float:
        return sum(self._width(run, item) for run in _runs(words))

    def _letters(self, size: float, colour: Colour, *, bold: bool = False, family: str = _PLAIN) -> None:
        page, style = self.page, "B" if bold else ""
        if family == _OTHERS and f"{_OTHERS}{style}" not in page.fonts:
            page.add_font(_OTHERS, style, str(packing.font("DejaVuSans-Bold" if bold else "DejaVuSans")))
        page.set_font(family, style, size * _MM * _POINTS)
        page.set_text_color(*colour)

    def _set(self, run: str, item: Text, colour: Colour) -> None:
        self._letters(item.size, colour, bold=item.bold, family=_PLAIN if _is_plain(run[:1]) else _OTHERS)

    def _width(self, run: str, item: Text) -> float:
        self._set(run, item, (0, 0, 0))
        return float(self.page.get_string_width(run)) / _MM

    def fill(self, place: PageRect, colour: Colour) -> None:
        self.page.set_fill_color(*colour)
        self.page.rect(*_rect(place), style="F")

    def image(self, drawn: Pillow.Image, place: PageRect, about: str = "") -> None:
        out = BytesIO()
        drawn.save(out, "JPEG", quality=90, subsampling=0)
        out.seek(0)
        self.page.image(out, *_rect(place))

    def box(self, place: PageRect, words: str, *, chosen: bool) -> None:
        thick = 1.0 if chosen else 0.5
        for grey, width in ((20, thick + 0.8), (255, thick)):
            self.page.set_draw_color(grey, grey, grey)
            self.page.set_line_width(width)
            self.page.rect(*_rect(place))

    def logo(self, _: Scene, item: Logo) -> None:
        self.page.image(BytesIO(item.file), *_rect(item.place))

    def curves(self, scene: Scene, item: Curves) -> None:
        assert scene.proof is not None
        page, theme, (left, top, wide, high) = self.page, self.theme, _rect(item.place)
        drawn, inks = layout.chart(scene.proof), {"map": _hex(theme.accent), "random": _hex(theme.ink)}
        grid, zero = _hex(theme.track), _hex(theme.quiet)
        pen = Pen(inks, grid=grid, zero=zero, thin=0.3, line=0.9, bold=1.4, gaps=(2, 1.6, 7, 15))
        self._letters(SMALL, theme.soft)
        draw_chart(page, drawn, ChartFrame(wide, high, 15, 6, 8 * len(drawn.lines) + 4, 20), (left, top), pen)
        for i, line in enumerate(drawn.lines):
            middle = top + 3 + 7.5 * i
            draw_line(page, line.name, [(left, middle), (left + 12, middle)], pen)
            page.text(left + 15, middle + 1.6, shorten(line.title, wide - 15, page.get_string_width))
