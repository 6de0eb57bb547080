"""Letters that no font has are spelled out, and never drawn as the same empty box."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fpdf import FPDF
from matplotlib.figure import Figure

from sightglass.common import fonts, packaged
from sightglass.explain.rendering.marks import contact_sheet, text_width
from sightglass.report import charts, pdf

GOLDFISH, SHARK = "金鱼", "鲨鱼"
OTHER_LETTER = chr(7553)
"""One that STIX has and DejaVu has not."""


@pytest.fixture(autouse=True)
def without_other_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "find_other", lambda: None)
    fonts._choose_font.cache_clear()


def test_missing_letters_are_spelled_out() -> None:
    assert fonts.spell_missing(f"café {GOLDFISH} 97 %") == "café U+91D1 U+9C7C 97 %"
    assert fonts.name_missing(f"{GOLDFISH}, {SHARK}, café") == "金鱼鲨"
    assert "".join(part for _, part in fonts.split_by_font(f"a{GOLDFISH}")) == "aU+91D1 U+9C7C"


def test_two_names_are_drawn_differently() -> None:
    def draw_sheet(name: str) -> bytes:
        return contact_sheet([np.zeros((200, 300, 3), np.uint8)], [name]).tobytes()

    def draw_figure(name: str) -> bytes:
        def draw() -> Figure:
            figure = Figure(figsize=(3, 1))
            figure.text(0, 0, name)
            return figure

        return charts.save(draw, "A name", "png")

    for draw in (draw_sheet, draw_figure):
        assert draw(GOLDFISH) != draw(SHARK)


def use_stix(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "STIXGeneral.ttf")
    monkeypatch.setattr(fonts, "find_other", lambda: path)
    monkeypatch.setattr(charts, "find_other", lambda: path)
    fonts._choose_font.cache_clear()


@pytest.mark.parametrize(("format", "drawn"), [("png", OTHER_LETTER), ("jpg", OTHER_LETTER), ("pdf", "U+1D81")])
def test_charts_have_the_letters_of_the_machines_font(monkeypatch: pytest.MonkeyPatch, format, drawn) -> None:
    use_stix(monkeypatch)
    figures: list[Figure] = []

    def draw() -> Figure:
        figures.append(Figure(figsize=(3, 1)))
        figures[0].text(0, 0, OTHER_LETTER)
        return figures[0]

    charts.save(draw, "A name", format)
    assert [text.get_text() for text in figures[0].texts] == [drawn]
    fonts._choose_font.cache_clear()


@pytest.mark.parametrize("here", [True, False])
def test_slides_have_the_letters_of_the_machines_font(monkeypatch: pytest.MonkeyPatch, here: bool) -> None:
    if here:
        use_stix(monkeypatch)
    document = FPDF()
    document.add_font("sans", "", str(packaged.font()))
    document.set_font("sans", "", 12)
    document.add_page()
    written: list[tuple[str, str]] = []
    monkeypatch.setattr(document, "text", lambda x, y, text: written.append((document.font_family, text)))
    pdf._write(document, f"a{OTHER_LETTER}b {GOLDFISH}", 10, 10, "")
    both = [("sans", "a"), ("other", OTHER_LETTER), ("sans", "b "), ("sans", "U+91D1 U+9C7C")]
    assert written == (both if here else [("sans", "aU+1D81b U+91D1 U+9C7C")])
    assert document.font_family == "sans"
    assert document.output()
    fonts._choose_font.cache_clear()


def test_a_font_of_the_machine_has_the_other_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    spelled = text_width(OTHER_LETTER, 20)
    folder = matplotlib.get_data_path()
    monkeypatch.setattr(fonts, "find_other", lambda: Path(folder, "fonts", "ttf", "STIXGeneral.ttf"))
    fonts._choose_font.cache_clear()
    (_, first), (other, second) = fonts.split_by_font(f"a{OTHER_LETTER}")
    assert (first, second, other.name) == ("a", OTHER_LETTER, "STIXGeneral.ttf")
    assert text_width(OTHER_LETTER, 20) < spelled and not fonts.name_missing(OTHER_LETTER)
    fonts._choose_font.cache_clear()
