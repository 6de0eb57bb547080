"""Decks as files: what stands in them, read by others than those who wrote them; what the packaged ones say."""

import re
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.report.deck_html import deck_html
from sightglass.report.deck_pptx import FONT, deck_pptx
from sightglass.report.layouts import (
    DARK,
    HEIGHT,
    INCH,
    LAYOUTS,
    LINE,
    SMALLEST,
    THEMES,
    WIDTH,
    Text,
    Theme,
    Visual,
    fit,
    hex_of,
    numbered,
    pages,
)
from sightglass.report.pdf import deck_pdf
from sightglass.report.view import View
from tests.unit.report.slides import SIZE, TITLE, deck, picture

VIEWS = deck()
CYCLE = ["words", "picture", "proof", "boxes", "models", "models' proof", "story", "clip"]
"""The pages of the deck."""


@pytest.fixture(scope="module")
def opened() -> Any:
    return pytest.importorskip("pptx").Presentation(BytesIO(deck_pptx(VIEWS, TITLE)))


def named(slide: Any) -> dict[str, Any]:
    return {shape.name: shape for shape in slide.shapes}


def test_pptx_slides_and_footers(opened: Any):
    slides = list(opened.slides)
    assert len(slides) == len(CYCLE)
    assert opened.slide_width / opened.slide_height == pytest.approx(16 / 9, rel=1e-3)
    assert [slide.shapes.title.text_frame.text for slide in slides] == [
        view.title for view in VIEWS for _ in range(2 if view.charts else 1)
    ]
    assert named(slides[1])["Text"].text_frame.text == "It looked mainly at the bus."
    assert named(slides[2])["Text"].text_frame.text == VIEWS[1].charts[0].sentence
    footers = [named(slide)["Footer"].text_frame.text for slide in slides]
    assert footers[1] == "EfficientNet-Lite0\n25\u00a0Nov\u00a02026\u00a0· 2"
    # A proof belongs to its slide.
    assert [footer.split()[-1] for footer in footers] == list("12234456")


def test_pptx_texts_in_placeholders(opened: Any):
    names = {layout.name.removeprefix("Sightglass ") for layout in opened.slide_layouts}
    assert names == {"title", "one", "two", "grid", "chart"} <= set(LAYOUTS)
    for layout in opened.slide_layouts:
        for shape in layout.placeholders:
            place = getattr(LAYOUTS[layout.name.removeprefix("Sightglass ")], shape.name)
            edges = [edge / 914400 / INCH for edge in (shape.left, shape.top, shape.width, shape.height)]
            assert edges == pytest.approx([place.left, place.top, place.width, place.height], abs=0.01)
    for slide in opened.slides:
        assert {shape.name for shape in slide.placeholders} >= {"Title", "Footer"}
        assert all(shape.text_frame.text for shape in slide.placeholders)
        for shape in slide.shapes:
            for paragraph in shape.text_frame.paragraphs if shape.has_text_frame else ():
                assert all(run.font.name == FONT and run.font.size.pt >= 18 for run in paragraph.runs)


def test_pptx_heat_map_lies_over_picture(opened: Any):
    shapes = named(opened.slides[1])
    below, layer = shapes["Picture"], shapes["Heat map: minibus"]
    assert (layer.left, layer.top, layer.width, layer.height) == (below.left, below.top, below.width, below.height)
    assert below.width / below.height == pytest.approx(SIZE[0] / SIZE[1], rel=0.01)
    plain, mapped = (np.asarray(Pillow.open(BytesIO(shape.image.blob))).astype(int) for shape in (below, layer))
    (height, width), away = plain.shape[:2], np.abs(mapped - plain).max(-1)
    # Strong where it is hot, and a darker picture where it is cold; the model did not see the left edge.
    assert away[height // 2, width // 2] > 60 and away[20, 3 * width // 4] < 24 < away[5, 5] < 80


def test_proofs_are_charts(opened: Any):
    chart = named(opened.slides[2])["Proof"]
    assert chart._element._nvXxPr.cNvPr.get("descr") == VIEWS[1].charts[0].sentence
    drawn = np.asarray(Pillow.open(BytesIO(chart.image.blob)).convert("RGB")).astype(int)
    for color in (DARK.accent, DARK.ink):
        assert (np.abs(drawn - color).max(-1) < 8).sum() > 500
    html = deck_html([VIEWS[1]], TITLE).decode()
    assert "Strongest places hidden" in html and "Random places" in html and f"stroke: {hex_of(DARK.accent)}" in html
    texts = " ".join(shape.text_frame.text for shape in opened.slides[1].shapes if shape.has_text_frame)
    assert "✓" not in texts and "recipe" not in texts


def test_a_clip_is_a_movie_with_its_first_frame(opened: Any):
    with Pillow.open(BytesIO(named(opened.slides[7])["Clip"].poster_frame.blob)) as poster:
        assert poster.size == (160, 96)
    assert [part.blob for part in opened.part.package.iter_parts() if part.partname.endswith(".mp4")] == [VIEWS[5].clip]


def shown(count: int, size: tuple[int, int], **given: Any) -> View:
    """A view of so many pictures of that shape."""
    return replace(VIEWS[1], pictures=(replace(picture(), size=size),) * count, **given)


LONG = {"title": "A very long title " * 6, "sentence": "A sentence that goes on and on without an end " * 8}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("size", [(240, 160), (160, 240), (400, 100), (200, 200), (1920, 1080)])
@pytest.mark.parametrize("texts", [{}, LONG], ids=["short", "long"])
def test_texts_do_not_overlap(count, size, texts):
    for laid in pages(shown(count, size, **texts)):
        words = [item for item in laid.items if isinstance(item, Text)]
        for i, text in enumerate(words):
            place = text.rect
            assert text.size >= SMALLEST and place.left >= -1e-6 and place.right <= WIDTH + 1e-6
            assert place.top >= -1e-6 and place.bottom <= HEIGHT + 1e-6
            assert fit(text.text, place, (text.size,), bold=text.bold)[0] == text.text, text
            others = [item.rect for item in words[i + 1 :]]
            others += [item.rect for item in laid.items if isinstance(item, Visual)]
            assert not [other for other in others if overlaps(place, other)], text


def test_a_layout_takes_its_number_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, "strip", replace(LAYOUTS["grid"], takes=(7, 8)))
    assert [pages(shown(count, (240, 160)))[0].layout for count in (7, 8, 9)] == ["strip", "strip", "grid"]


def test_a_signed_map_has_the_meaning_of_its_colours() -> None:
    item = VIEWS[1].pictures[0].map
    field = replace(item.field, kind="signed")
    signed = replace(picture(), map=replace(item, field=field, ends=("lowers", "0", "raises")))
    slide = pages(replace(VIEWS[1], pictures=(signed,)))[0]
    assert "Red: raises\nBlue: lowers" in [item.text for item in slide.items if isinstance(item, Text)]


def overlaps(one: Any, other: Any) -> bool:
    across = one.left < other.right - 1e-6 and other.left < one.right - 1e-6
    return across and one.top < other.bottom - 1e-6 and other.top < one.bottom - 1e-6


def test_text_fit_cuts_at_sentence_or_word():
    place = LAYOUTS["one"].text
    words, size = fit(f"This fits. {'But not this one ' * 20}", place)
    assert words == "This fits." and size > SMALLEST
    words, size = fit("word " * 200, place)
    assert words.endswith("word…") and size == SMALLEST and len(words) * SMALLEST * LINE < 10 * place.area
    assert fit("x" * 900, place)[0].endswith("x…")
    assert fit("x" * 90, place) == ("x" * 90, SMALLEST)


@pytest.mark.parametrize("theme", THEMES.values(), ids=list(THEMES))
def test_the_theme_is_that_of_every_file(theme: Theme):
    view = VIEWS[1]
    assert f'<html lang="en" class="{theme.name}">' in deck_html([view], TITLE, theme).decode()
    slide = pytest.importorskip("pptx").Presentation(BytesIO(deck_pptx([view], TITLE, theme))).slides[0]
    assert tuple(slide.shapes.title.text_frame.paragraphs[0].runs[0].font.color.rgb) == theme.ink
    pdf = deck_pdf([view], TITLE, theme)
    assert pdf != deck_pdf([view], TITLE, next(one for one in THEMES.values() if one is not theme))


def test_pdf_pages_and_font():
    data = deck_pdf(VIEWS, TITLE)
    assert data.startswith(b"%PDF-") and len(re.findall(rb"/Type /Page\n", data)) == len(CYCLE)
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[([\d. ]+)\]", data)}
    assert all(right / top == pytest.approx(16 / 9, rel=1e-3) for _, _, right, top in boxes) and boxes
    fonts = set(re.findall(rb"/BaseFont /([\w+-]+)", data))
    assert fonts and all(b"DejaVuSans" in font for font in fonts) and b"/FontFile2" in data


def test_html_deck_is_self_contained():
    view = replace(VIEWS[0], title="</script><b>x</b>", sentence="</p><script>alert(1)</script>")
    text = deck_html([view, *VIEWS[1:]], "<i>T</i>").decode()
    assert "<b>x</b>" not in text and "<script>alert" not in text and "<i>T" not in text
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", text)
    assert "default-src 'none'" in text
    assert text.count("<section>") == len(list(numbered(VIEWS)))
