"""Slides of every kind as LibreOffice and a PDF draw them: pictures fill them, and letters lie where they were laid."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.deck import Panel, Scene, SceneProof, rows, views
from sightglass.deck.drawing import numbered
from sightglass.deck.items import DARK, HEIGHT, LIGHT, TAG_GROUNDS, WIDTH, Bars, Film, PageRect, Sight, Text
from sightglass.deck.layout import SHARE, TITLE, pages
from sightglass.deck.pdf_file import deck_pdf
from sightglass.deck.pptx_file import deck_pptx
from sightglass.explain import Explainer
from sightglass.explain.comparison.models import Comparison, Timing
from sightglass.explain.faithfulness.scramble import scramble
from sightglass.explain.picture.image import Image, load_bundled
from sightglass.explain.similarity.similarity import similarity
from sightglass.explain.whatif import changes, edits, strongest
from tests.unit.deck.deck_scenes import clip, proof
from tests.waits import patience
from training.story import slide_of, story_step

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.deck.items import Page, Theme

OFFICE, TO_PNG, LIST_FONTS = (shutil.which(name) for name in ("soffice", "pdftoppm", "pdffonts"))
KINDS = ("office", "print")
"""PPTX as LibreOffice draws it, and PDF."""
NAMES = (
    "explore", "topk", "detect", "compare", "similarity", "trust", "whatif", "prove", "batch", "video", "story",
)  # fmt: skip
"""The slides of the pages, by what they are of."""


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    """The slide of each page, of packaged models and pictures."""
    bus, drawn = load_bundled("bus"), load_bundled("scene 3")
    small, large = Explainer("efficientnet-lite0"), Explainer("efficientnet-lite1")
    found, other = small(bus, top_k=4), large(bus)
    time = Timing(1, 1, 1)
    comparison = Comparison((found, other), ("small", "medium"), (time, time))
    cells, mark = Explainer("demo-cls-s")(drawn), strongest.strongest_tenth(found)
    assert mark is not None
    edit = edits.Edit(marks=(mark,))
    covered = small(edits.edited(bus, edit).image, targets=(found.predictions[0].index,))
    changed = changes.changes(found, covered)
    return {
        "explore": views.of_map(found),
        "topk": views.of_classes(found),
        "detect": views.of_map(Explainer("demo-s")(drawn, per="detection")),
        "compare": views.of_models(comparison, ["Small", "Medium"]),
        "similarity": rows.of_pair(similarity(small, bus, load_bundled("china")), "related"),
        "trust": rows.of_scramble(cells, 0, scramble(cells, 0), "The map depends on the model"),
        "whatif": rows.of_change(found, covered, changed, changes.sentence(found, changed, edit)),
        "prove": replace(views.of_map(found), proof=of_bus(proof())),
        "batch": rows.of_gallery(
            "24 pictures, 18 as their folders say",
            "The surest wrong answer: minibus, 75 %, in the folder tram.",
            [("75 %", "right"), ("24", "pictures"), ("3", "unsure")],
            [
                rows.GalleryTile(bus, "✓ minibus 62 %", np.eye(32, dtype=np.float32)),
                rows.GalleryTile(drawn, "✗ gear 94 %"),
            ]
            * 4,
            "EfficientNet-Lite0 · GradCAM",
        ),
        "video": of_clip(bus),
        "story": slide_of(story_step("stamp", "look", 0)),
    }


def of_bus(given: SceneProof) -> SceneProof:
    return replace(given, sentence=f"This map matters to the answer: it beats 15 of 16 maps. {given.sentence}")


def of_clip(image: Image) -> Scene:
    strip: list[Panel] = [rows.picture(image, name) for name in ("0:02 sports car", "0:05 dog", "0:09 person")]
    return Scene(
        "clip",
        "Sports car from 0:02, dog from 0:05",
        "Frame by frame.",
        "",
        None,
        (1280, 720),
        tuple(strip),
        clip=clip(),
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_slide_of_a_page_is_laid_out_for_a_room(scenes: dict[str, Scene], name: str) -> None:
    for page in pages(scenes[name]):
        assert page.share() >= SHARE, page.share()
        items = [part for item in page.items for part in (item.parts() if isinstance(item, Bars) else (item,))]
        texts = [item for item in items if isinstance(item, Text)]
        assert next(text for text in texts if text.name == "Title").size == TITLE
        # A unit is six points.
        assert all(6 * text.size >= 20 for text in texts if text.name.startswith(("Answer", "Score")))
        assert all(text.size >= 2 for text in texts)
        for i, text in enumerate(texts):
            assert not [other for other in texts[i + 1 :] if text.place.overlaps(other.place)], text
        assert any(text.name == "Number" for text in texts)
        assert sum(type(item).__name__ in ("Bars", "Curves") for item in page.items) <= 1 or name == "whatif"


@pytest.fixture(scope="module")
def drawn(scenes: dict[str, Scene], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deck of all slides as PDF files, written by us and by an office from PPTX, and a picture of each page."""
    if OFFICE is None or TO_PNG is None or LIST_FONTS is None:
        pytest.skip("needs LibreOffice (soffice) and Poppler (pdftoppm, pdffonts)")
    folder = tmp_path_factory.mktemp("slides")
    deck = list(scenes.values())
    (folder / "office.pptx").write_bytes(deck_pptx(deck, "Eleven views"))
    (folder / "print.pdf").write_bytes(deck_pdf(deck, "Eleven views"))
    office = [OFFICE, f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", "pdf"]
    commands = [[*office, "--outdir", folder, folder / "office.pptx"]]
    commands += [[TO_PNG, "-r", "96", "-png", folder / f"{kind}.pdf", folder / kind] for kind in KINDS]
    for command in commands:
        subprocess.run(command, check=True, capture_output=True, timeout=patience(300))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_letters_of_a_drawn_deck_are_of_one_family_beside_signs(drawn: Path, kind: str) -> None:
    listed = subprocess.run([LIST_FONTS or "", drawn / f"{kind}.pdf"], check=True, capture_output=True, text=True)
    fonts = {line.split()[0].partition("+")[2] or line.split()[0] for line in listed.stdout.splitlines()[2:]}
    families = {name.partition("-")[0].removesuffix("Bold").removesuffix("Book") for name in fonts}
    # What stands for Arial, and what has the ticks and crosses.
    assert families <= {"Arial", "LiberationSans", "Helvetica", "DejaVuSans"} and len(families - {"DejaVuSans"}) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_drawn_slide_has_letters_and_pictures_where_they_were_laid(
    scenes: dict[str, Scene], drawn: Path, name: str, kind: str
) -> None:
    every = list(numbered(list(scenes.values())))
    files = sorted(drawn.glob(f"{kind}-*.png"))
    assert len(files) == len(every), "a page for each slide, and one for the proof"
    for file, (scene, page) in zip(files, every, strict=True):
        if scene is scenes[name]:
            check_page(file, page, DARK if kind == "office" else LIGHT)


def check_page(file: Path, page: Page, theme: Theme) -> None:
    pixels = np.asarray(Pillow.open(file).convert("RGB")).astype(int)
    height, width = pixels.shape[:2]
    assert width / height == pytest.approx(16 / 9, rel=0.02)
    items = page.items
    inked = np.abs(pixels - theme.ground).max(-1) > 60
    expected = np.zeros(inked.shape, bool)

    def part(place: PageRect, around: float = 0.0) -> tuple[slice, slice]:
        edges = (place.top - around, place.bottom + around, place.left - around, place.right + around)
        scale = (height / HEIGHT, height / HEIGHT, width / WIDTH, width / WIDTH)
        top, bottom, left, right = (max(0, round(edge * by)) for edge, by in zip(edges, scale, strict=True))
        return slice(top, bottom), slice(left, right)

    for item in items:
        expected[part(item.place, 0.8)] = True
        if isinstance(item, (Sight, Film)):
            assert np.ptp(pixels[part(item.place)]) > 60, item
        if isinstance(item, Text) and item.tone not in TAG_GROUNDS:
            # Letters are there, and stand out from the ground.
            assert inked[part(item.place)].any(), item
            shown = np.abs(pixels[part(item.place)] - theme.ground).max()
            assert shown > 100, item
    # Nothing is drawn outside its place: no text runs over its edge.
    assert (inked & ~expected).mean() < 0.001
