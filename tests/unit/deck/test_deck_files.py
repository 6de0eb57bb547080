"""Decks as files: what stands in them, read by others than those who wrote them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageFont

from sightglass.common.errors import Problem
from sightglass.common.files import packaged
from sightglass.deck import Scene, SceneView, pdf_file
from sightglass.deck.heat_layer import heat_layer
from sightglass.deck.html_file import deck_html
from sightglass.deck.layout import HEIGHT, SMALL, WIDTH, Text, pages, size_of
from sightglass.deck.pdf_file import deck_pdf, over
from sightglass.deck.pptx_file import deck_pptx
from sightglass.explain.proof.seal import QUESTIONS, SHAPES
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Field, Style
from tests.unit.deck.deck_scenes import SEAL, SHORT, SIZE, TITLE, deck, panel, picture, spot
from tests.waits import patience

if TYPE_CHECKING:
    from pathlib import Path

OFFICE = shutil.which("soffice")
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


def test_answers_and_proofs_are_charts_and_boxes_are_shapes(opened: Any):
    slides = list(opened.slides)
    answers = named(slides[1])["Answers"].chart
    assert next(iter(answers.plots[0].categories)) == "minibus"
    assert list(answers.plots[0].series[0].values) == [0.72, 0.12, 0.05, 0.004]
    own, random = named(slides[2])["Proof"].chart.plots[0].series
    assert "hottest" in own.name and "random" in random.name
    assert list(own.values) == list(SCENES[1].proof.hide)
    boxes = [shape for shape in slides[3].shapes if shape.name.startswith("Box: ")]
    assert [shape.name for shape in boxes] == ["Box: bus 94\u00a0%", "Box: person 90\u00a0%", "Box: person 80\u00a0%"]
    below, first = named(slides[3])["Picture"], boxes[0]
    assert (first.left - below.left) / below.width == pytest.approx(0.1, abs=0.01)
    assert first.height / below.height == pytest.approx(0.7, abs=0.01)


def test_a_sealed_map_s_marks_stand_at_the_foot_and_in_the_notes(opened: Any):
    picture, proof, boxes, models = (opened.slides[i] for i in (1, 2, 3, 4))
    for slide in (picture, proof):
        assert named(slide)["Seal"].text_frame.text == f"Seal: {SEAL}"
    assert "Seal" not in named(boxes)
    shorts = [shape.text_frame.text for shape in models.shapes if shape.name == "Seal"]
    assert shorts == [SHORT] * 3
    assert f"Seal of minibus: {SEAL}." in picture.notes_slide.notes_text_frame.text
    assert "Seal of trolleybus" not in picture.notes_slide.notes_text_frame.text


def rect_of(item: Any) -> tuple[float, float, float, float]:
    return item.place.left, item.place.top, item.place.left + item.place.width, item.place.top + item.place.height


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("size", [(240, 160), (160, 240), (400, 100)])
@pytest.mark.parametrize("proved", [False, True])
def test_a_seal_lies_over_nothing_else(count: int, size: tuple[int, int], proved: bool):
    longest = " · ".join(f"? {question}: cannot be told" for question in QUESTIONS.values())
    one = panel()
    one = replace(one, maps=(replace(one.maps[0], seal=longest), one.maps[1]))
    scene = replace(SCENES[1], kind="models" if count > 1 else "picture", size=size, panels=(one,) * count)
    for page in pages(scene)[:1] if not proved else pages(scene)[1:]:
        seals = [item for item in page.items if isinstance(item, Text) and item.name == "Seal"]
        assert len(seals) == (1 if proved else count)
        for seal in seals:
            assert seal.size >= SMALL
            assert sum(height_of(replace(seal, words=line)) for line in seal.words.splitlines()) <= seal.place.height
            left, top, right, bottom = rect_of(seal)
            for other in page.items:
                if other is not seal:
                    x0, y0, x1, y1 = rect_of(other)
                    assert right <= x0 or x1 <= left or bottom <= y0 + 1e-9 or y1 <= top + 1e-9, (seal, other)
    # A map that was not sealed takes no room for one.
    bare = replace(scene, panels=(replace(one, maps=one.maps[1:]),) * count)
    for page in pages(replace(bare, proof=None)):
        assert not [item for item in page.items if isinstance(item, Text) and item.name == "Seal"]


def test_the_fonts_of_a_pdf_have_the_shapes_of_a_seal():
    from fontTools.ttLib import TTFont

    known = TTFont(packaged.font("DejaVuSans")).getBestCmap()
    assert {ord(letter) for letter in "".join(SHAPES.values()) + "·"} <= set(known)


def test_a_pdf_has_the_words_of_a_seal(monkeypatch: pytest.MonkeyPatch):
    written, write = list[str](), pdf_file._text

    def note(page: Any, scene: Scene, item: Text) -> None:
        written.append(item.words)
        write(page, scene, item)

    monkeypatch.setattr(pdf_file, "_text", note)
    deck_pdf(SCENES, TITLE)
    # The slide, its proof, and that of the models.
    assert written.count(f"Seal: {SEAL}") == 3
    # Three models, and two of a story.
    assert written.count(SHORT) == 5


def test_notes_have_what_the_speaker_wrote_and_what_made_the_slide(opened: Any):
    text = opened.slides[1].notes_slide.notes_text_frame.text
    assert text.startswith("Cropped.")
    assert "EfficientNet-Lite0: minibus 72\u00a0%" in text and "inferno" in text
    assert text.endswith("Made again by:\nsightglass image bus.jpg")


def test_a_clip_is_a_movie_with_its_first_frame(opened: Any):
    movie = named(opened.slides[7])["Clip"]
    with Pillow.open(BytesIO(movie.poster_frame.blob)) as poster:
        assert poster.size == (160, 96)
    assert movie.media_type is not None
    parts = [part.blob for part in opened.part.package.iter_parts() if part.partname.endswith(".mp4")]
    assert parts == [SCENES[5].clip]


@pytest.mark.skipif(OFFICE is None, reason="needs LibreOffice (soffice)")
def test_an_office_draws_the_layer_over_the_picture(tmp_path: Path):
    def drawn(scene: Scene) -> np.ndarray:
        file = tmp_path / "deck.pptx"
        file.write_bytes(deck_pptx([scene], TITLE))
        command = [OFFICE, f"-env:UserInstallation=file://{tmp_path}/profile", "--headless", "--convert-to", "png"]
        subprocess.run([*command, "--outdir", tmp_path, file], check=True, capture_output=True, timeout=patience(120))
        return np.asarray(Pillow.open(tmp_path / "deck.png").convert("RGB")).astype(int)

    pixels = drawn(replace(SCENES[1], proof=None))
    height, width = pixels.shape[:2]
    assert width / height == pytest.approx(16 / 9, rel=0.01)
    assert (pixels[-3, -3] < 40).all()
    (sight,) = (item for item in pages(SCENES[1])[0].items if type(item).__name__ == "Sight")
    place = sight.place
    x, y = (place.left + place.width / 2) / WIDTH * width, (place.top + place.height / 2) / HEIGHT * height
    red, green, blue = pixels[int(y), int(x)]
    assert red > 200 and green > 180 and blue < 190  # inferno's pale yellow, nearly opaque, over grey
    assert abs(pixels[int(y - 0.45 * place.height / HEIGHT * height), int(x) + 4] - 110).max() < 30


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


def test_what_the_model_did_not_see_is_grey():
    pixels = np.full((90, 160, 3), (200, 40, 40), np.uint8)
    layer = heat_layer(replace(panel().maps[0], seen=(0.25, 0.0, 1.0, 1.0)), SceneView(), pixels)
    field = Field(np.zeros((90, 160), np.float32), (0.0, 0.0, 160.0, 90.0), (40, 0, 160, 90))
    grey = paint(pixels, field, Style(), unseen="dark")[0, 0]
    assert grey[0] == grey[1] == grey[2]
    assert (layer[:, :29] == (*grey, 255)).all() and layer[0, 31, 3] < 10


def height_of(item: Text) -> float:
    """The height of a text as the PDF's font has it, broken between words."""
    font = ImageFont.truetype(str(packaged.font("DejaVuSans-Bold" if item.bold else "DejaVuSans")), 100)
    lines, room = 1, item.place.width / item.size * 100
    line = ""
    for word in item.words.split():
        tried = f"{line} {word}".strip()
        lines, line = (lines, tried) if font.getlength(tried) <= room else (lines + 1, word)
    return lines * item.size * 1.25


def test_everything_lies_on_its_page_and_is_large_enough_to_be_read():
    long = replace(SCENES[1], title="A very long title " * 6, sentence="A sentence of many words. " * 15)
    tall, wide = (
        replace(SCENES[3], size=(160, 240)),
        replace(SCENES[1], title="Some maps lie: the same, whatever you ask"),
    )
    for scene in (*SCENES, long, tall, wide):
        for page in pages(scene):
            for item in page.items:
                place = item.place
                assert place.left >= 5 and place.top >= 4
                assert place.left + place.width <= WIDTH - 5 and place.top + place.height <= HEIGHT - 2
                if isinstance(item, Text):
                    assert item.size >= SMALL > 0.022 * HEIGHT
                    assert scene is long or height_of(item) <= place.height
    title = pages(long)[0].items[0]
    assert isinstance(title, Text) and title.size < size_of("Short", title.place, 6)


def test_a_slide_without_a_model_is_a_picture_alone():
    bare = Scene("picture", "A bus", "", picture=picture(), size=SIZE)
    (page,) = pages(bare)
    assert [type(item).__name__ for item in page.items] == ["Text", "Sight"] and page.notes == ""


def test_a_pdf_has_the_same_pages_in_widescreen():
    data = deck_pdf(SCENES, TITLE)
    assert data.startswith(b"%PDF-") and len(re.findall(rb"/Type /Page\n", data)) == len(CYCLE)
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[([\d. ]+)\]", data)}
    assert all(right / top == pytest.approx(16 / 9, rel=1e-3) for _, _, right, top in boxes) and boxes
    # A map is in its picture there: one image for each sight, and the clip's first frame.
    sights = sum(
        type(item).__name__ in ("Sight", "Film") for scene in SCENES for page in pages(scene) for item in page.items
    )
    assert 0 < len(re.findall(rb"/Subtype /Image", data)) <= sights


def test_the_picture_of_a_page_is_under_the_map_that_the_slide_begins_with():
    first = SCENES[1].panels[0].maps[0]
    plain, hot = (np.asarray(over(SCENES[1].picture, one, SCENES[1])).astype(int) for one in (None, first))
    middle = hot[SIZE[1] // 2, SIZE[0] // 2]
    assert middle[0] > 200 and middle[1] > 180
    assert np.abs(hot[5, 40] - plain[5, 40]).max() < 12


@pytest.mark.parametrize("write", [deck_html, deck_pptx, deck_pdf])
def test_a_deck_without_slides_is_no_file(write: Any):
    with pytest.raises(Problem, match="no slides"):
        write([], TITLE)
