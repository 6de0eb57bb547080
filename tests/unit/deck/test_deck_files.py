"""Decks as files: what stands in them, read by others than those who wrote them."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.deck import Scene, SceneView
from sightglass.deck.drawing import heat_layer
from sightglass.deck.html_file import deck_html
from sightglass.deck.items import (
    FONT,
    FOOTER_LETTERS,
    HEIGHT,
    TAG_GROUNDS,
    THEMES,
    WIDTH,
    Bars,
    PageRect,
    Sight,
    Text,
    Theme,
    height_of,
)
from sightglass.deck.layout import box_labels, pages
from sightglass.deck.pdf_file import deck_pdf
from sightglass.deck.pptx_file import deck_pptx
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Field, Style
from tests.unit.deck.deck_scenes import SEAL, SHORT, SIZE, TITLE, deck, panel, spot

SCENES = deck()
CYCLE = ["words", "picture", "proof", "boxes", "models", "models' proof", "story", "clip"]
"""The pages of the deck."""


@pytest.fixture(scope="module")
def opened() -> Any:
    pptx = pytest.importorskip("pptx")
    return pptx.Presentation(BytesIO(deck_pptx(SCENES, TITLE)))


def named(slide: Any) -> dict[str, Any]:
    return {shape.name: shape for shape in slide.shapes}


def hidden(shape: Any) -> bool:
    return shape._element._nvXxPr.cNvPr.get("hidden") == "1"


def test_a_presentation_has_a_slide_for_each_scene_and_each_proof_in_widescreen(opened: Any):
    slides = list(opened.slides)
    assert len(slides) == len(CYCLE)
    assert opened.slide_width / opened.slide_height == pytest.approx(16 / 9, rel=1e-3)
    assert [slide.shapes.title.text_frame.text for slide in slides] == [
        scene.title for scene in SCENES for _ in range(2 if scene.proof else 1)
    ]
    assert named(slides[1])["Sentence"].text_frame.text == "It looked mainly at the bus."
    assert named(slides[2])["Sentence"].text_frame.text == SCENES[1].proof.sentence
    numbers = [named(slide)["Number"].text_frame.text for slide in slides]
    # A proof belongs to its slide.
    assert numbers == [f"{n} / 6" for n in (1, 2, 2, 3, 4, 4, 5, 6)]


def test_a_heat_map_is_a_layer_of_its_own_that_lies_exactly_over_the_picture(opened: Any):
    shapes = named(opened.slides[1])
    below, layer, other = (shapes[name] for name in ("Picture", "Heat map: minibus", "Heat map: trolleybus"))
    assert [(one.left, one.top, one.width, one.height) for one in (layer, other)] == [
        (below.left, below.top, below.width, below.height)
    ] * 2
    assert [hidden(one) for one in (below, layer, other)] == [False, False, True]
    assert below.width / below.height == pytest.approx(SIZE[0] / SIZE[1], rel=0.01)
    order = [shape.name for shape in opened.slides[1].shapes]
    assert order.index("Picture") < order.index("Heat map: minibus")
    image = np.asarray(Pillow.open(BytesIO(layer.image.blob)))
    assert image.shape[2] == 4
    # Clear where it is cold, strong where it is hot.
    assert image[4, 30, 3] < 10 and image[40, 60, 3] > 200


def test_answers_are_letters_of_20_points_and_proofs_are_charts_and_boxes_are_shapes(opened: Any):
    slides = list(opened.slides)
    answers = [shape for shape in slides[1].shapes if shape.name.startswith("Answer: ")]
    assert [one.text_frame.text for one in answers][:2] == ["minibus", "trolleybus"]
    assert all(run.font.size.pt >= 20 for one in answers for run in one.text_frame.paragraphs[0].runs)
    own, random = named(slides[2])["Proof"].chart.plots[0].series
    assert "Hottest" in own.name and "Random" in random.name
    assert list(own.values) == list(SCENES[1].proof.hide)
    boxes = [shape for shape in slides[3].shapes if shape.name.startswith("Box: ")]
    assert [shape.name for shape in boxes] == ["Box: bus 94\u00a0%", "Box: person 90\u00a0%", "Box: person 80\u00a0%"]
    below, first = named(slides[3])["Picture"], boxes[0]
    assert (first.left - below.left) / below.width == pytest.approx(0.1, abs=0.01)
    assert first.height / below.height == pytest.approx(0.7, abs=0.01)
    labels = {shape.text_frame.text for shape in slides[3].shapes if shape.name.startswith("Label ")}
    assert labels == {"bus 94\u00a0%", "person 90\u00a0%", "person 80\u00a0%"}


def test_a_sealed_map_s_marks_stand_in_the_footer_and_in_the_notes(opened: Any):
    picture, proof, boxes, models = (opened.slides[i] for i in (1, 2, 3, 4))
    for slide in (picture, proof, models):
        assert f"Checks: {SHORT}" in named(slide)["Footer"].text_frame.text
    assert "Checks" not in named(boxes)["Footer"].text_frame.text
    assert f"Checks of minibus: {SEAL}." in picture.notes_slide.notes_text_frame.text
    assert "Checks of trolleybus" not in picture.notes_slide.notes_text_frame.text


def shown(count: int, size: tuple[int, int], **given: Any) -> Scene:
    """A scene of so many panels of a picture of that shape."""
    kind = "models" if count > 1 else "picture"
    return replace(SCENES[1], kind=kind, size=size, panels=(panel(),) * count, **given)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("size", [(240, 160), (160, 240), (400, 100), (200, 200), (1920, 1080)])
@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("title", ["Short", "A very long title " * 6])
def test_no_text_lies_over_another_or_over_a_picture(count: int, size: tuple[int, int], page: int, title: str):
    scene = shown(count, size, title=title)
    items = pages(scene)[page].items
    texts = [
        part
        for item in items
        for part in (item.parts() if isinstance(item, Bars) else (item,))
        if isinstance(part, Text)
    ]
    for i, text in enumerate(texts):
        assert text.size >= FOOTER_LETTERS and text.place.left >= 0 and text.place.right <= WIDTH
        assert text.place.top >= 0 and text.place.bottom <= HEIGHT
        if text.tone not in TAG_GROUNDS:
            assert height_of(text.words, text.place.width, text.size, bold=text.bold) <= text.place.height + 1e-6, text
        for other in texts[i + 1 :]:
            assert not text.place.overlaps(other.place), (text, other)
        for sight in (item for item in items if isinstance(item, Sight)):
            assert text.tone in TAG_GROUNDS or not text.place.overlaps(sight.place), text


def test_labels_of_boxes_lie_in_the_picture_and_not_over_each_other():
    edge = [
        ((x, y, min(1.0, x + 0.2), min(1.0, y + 0.2)), f"thing {x}", 0.9)
        for x in (0.0, 0.45, 0.95)
        for y in (0.0, 0.5, 0.97)
    ]
    place = PageRect(10, 10, 100, 60)
    found = box_labels(edge, place, (0,))
    assert len(found) == len(edge) and found[0].tone == "chosen"
    for i, one in enumerate(found):
        assert place.left <= one.place.left and one.place.right <= place.right + 1e-6
        assert place.top - 1e-6 <= one.place.top and one.place.bottom <= place.bottom + 1e-6
        assert not any(one.place.overlaps(other.place) for other in found[i + 1 :])


@pytest.mark.parametrize("theme", THEMES.values(), ids=list(THEMES))
def test_letters_of_a_theme_have_contrast(theme: Theme):
    def light(rgb: tuple[int, int, int]) -> float:
        shares = [(v / 255 / 12.92) if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in rgb]
        return 0.2126 * shares[0] + 0.7152 * shares[1] + 0.0722 * shares[2]

    for ink in (theme.ink, theme.soft, theme.accent):
        bright, dark = sorted((light(ink), light(theme.ground)), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5


def test_letters_are_of_one_font_that_every_system_has(opened: Any):
    for slide in opened.slides:
        for shape in slide.shapes:
            for paragraph in shape.text_frame.paragraphs if shape.has_text_frame else ():
                assert {run.font.name for run in paragraph.runs} <= {FONT}
    data = deck_pdf(SCENES[:1], TITLE)
    assert set(re.findall(rb"/BaseFont /([\w+-]+)", data)) <= {b"Helvetica", b"Helvetica-Bold"}
    assert b"Arial" in deck_html(SCENES[:1], TITLE)


def test_a_clip_is_a_movie_with_its_first_frame(opened: Any):
    movie = named(opened.slides[7])["Clip"]
    with Pillow.open(BytesIO(movie.poster_frame.blob)) as poster:
        assert poster.size == (160, 96)
    assert movie.media_type is not None
    parts = [part.blob for part in opened.part.package.iter_parts() if part.partname.endswith(".mp4")]
    assert parts == [SCENES[5].clip]


@pytest.mark.parametrize("mode", ["overlay", "map", "spotlight", "contour"])
def test_a_layer_over_the_picture_is_what_the_viewer_draws(mode: Any):
    values, rng = spot(0.4, 0.5), np.random.default_rng(0)
    pixels = rng.integers(0, 256, (*values.shape, 3), np.uint8)
    given = replace(panel().maps[0], values=values, seen=None)
    view = SceneView(mode=mode, threshold=0.2 if mode != "contour" else 0.0)
    layer = heat_layer(given, view, pixels).astype(float)
    share = layer[..., 3:] / 255
    over = layer[..., :3] * share + pixels * (1 - share)
    height, width = values.shape
    field = Field(values.astype(np.float32) / 255, (0.0, 0.0, float(width), float(height)), (0, 0, width, height))
    style = Style(mode=mode, colormap=view.colormap, alpha=view.opacity, threshold=view.threshold)
    expected = paint(pixels, field, style, unseen="dark", unit=1.0)
    # A layer has 256 steps of opacity, and lies on the cells and not on the pixels of lines.
    assert np.abs(over - expected).mean() < 1.0
    assert np.percentile(np.abs(over - expected), 99) < 6


def test_a_pdf_has_the_same_pages_in_widescreen():
    data = deck_pdf(SCENES, TITLE)
    assert data.startswith(b"%PDF-") and len(re.findall(rb"/Type /Page\n", data)) == len(CYCLE)
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[([\d. ]+)\]", data)}
    assert all(right / top == pytest.approx(16 / 9, rel=1e-3) for _, _, right, top in boxes) and boxes
    # A map is in its picture there: one image for each sight, and the clip's first frame.
    sights = sum(
        type(item).__name__ in ("Sight", "Film", "Key")
        for scene in SCENES
        for page in pages(scene)
        for item in page.items
    )
    assert 0 < len(re.findall(rb"/Subtype /Image", data)) <= sights
