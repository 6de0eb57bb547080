"""Slides of every kind: large pictures, a short statement, and letters where LibreOffice and a PDF reader draw them."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.batch import table
from sightglass.batch.run_slides import draw_tile
from sightglass.explain import Explainer
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.similarity.similarity import similarity
from sightglass.explain.whatif import edits
from sightglass.history import History, encoding
from sightglass.report import views
from sightglass.report.deck_pptx import deck_pptx
from sightglass.report.layouts import DARK, HEIGHT, WIDTH, Page, Rect, Text, Visual, numbered, pages, share
from sightglass.report.pdf import deck_pdf
from sightglass.report.similarity_files import pair_view
from sightglass.report.view import View
from sightglass.report.views import MAX_WORDS
from tests.unit.report.slides import chart, deck
from tests.waits import patience

OFFICE, TO_PNG, TO_TEXT = (shutil.which(name) for name in ("soffice", "pdftoppm", "pdftotext"))
KINDS = ("office", "print")
"""PPTX as LibreOffice draws it, and PDF."""
NAMES = ("title", "map", "detect", "classes", "models", "pair", "whatif", "gallery", "clip", "record")
"""The slides of the pages, by what they are of; the map has its proof."""
LARGE = 0.53
"""Least share of a slide that its pictures cover; their names stand below them."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, View]:
    """The slide of each page, of packaged models and pictures."""
    bus, drawn = load_bundled("bus"), load_bundled("scene 3")
    small, large = Explainer("efficientnet-lite0"), Explainer("efficientnet-lite1")
    result, other = small(bus, top_k=4), large(bus)
    comparison = Comparison((result, other), ("small", "medium"))
    edit = edits.Edit((edits.EditMark("rectangle", ((0.3, 0.3), (0.7, 0.5))),))
    covered = small(edits.edited(bus, edit).image, targets=(result.predictions[0].index,))
    changed = edits.changes(result, covered)
    history = History(tmp_path_factory.mktemp("history"))
    record = history.keep(result)
    rows = [
        {"predicted": "minibus", "predicted_score": 0.62, "wrong": False, "cells": None},
        {"predicted": "streetcar, tram, tramcar", "predicted_score": 0.94, "wrong": True, "cells": None},
    ]
    tiles = [draw_tile(row, image, table.Scores("classify")) for row, image in zip(rows, (bus, drawn), strict=True)]
    return {
        "title": View("When does a heat map lie?", "Five minutes about where a model looks.", kind="words"),
        "map": replace(views.map_view(result), charts=(chart(),)),
        "detect": views.map_view(Explainer("demo-s")(drawn, per="detection")),
        "classes": views.classes_view(result),
        "models": views.models_view(comparison, ["Small", "Medium"]),
        "pair": pair_view(similarity(small, bus, load_bundled("china"))),
        "whatif": views.change_view(result, covered, changed, edits.sentence(result, changed, edit)),
        "gallery": views.gallery_view(
            "Minibus: 3 of 24 taken for a tram",
            "The surest wrong answer: minibus, 75 %, in the folder tram.",
            tiles * 4,
            "EfficientNet-Lite0 · GradCAM",
        ),
        "clip": replace(deck()[-1], facts=("0:02 sports car", "0:05 dog", "0:09 person")),
        "record": encoding.record_view(record, history.picture(record), history.heatmaps(record)),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_slide_is_a_large_picture_and_a_short_statement(scenes: dict[str, View], name: str) -> None:
    scene = scenes[name]
    assert len(scene.title.split(" ")) <= MAX_WORDS and ".jpg" not in scene.title and not scene.title.endswith("…")
    for page in pages(scene):
        assert share([item.rect for item in page.items if isinstance(item, Visual)]) >= LARGE or name == "title"
        words = {item.name: item.text for item in page.items if isinstance(item, Text)}
        assert words["title"] == scene.title and not words["title"].endswith("…")
        assert not any(words.get(part, "").endswith("…") for part in ("text", "answers", "footer", "Key"))
        assert words["footer"].split()[-1] == "1"
        if scene.made:
            assert scene.made.partition(" · ")[0] in words["footer"] and "202" in words["footer"]


@pytest.fixture(scope="module")
def drawn(scenes: dict[str, View], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deck of all slides as PDF files, written by us and by an office from PPTX, and a picture of each page."""
    if OFFICE is None or TO_PNG is None or TO_TEXT is None:
        pytest.skip("needs LibreOffice (soffice) and Poppler (pdftoppm, pdftotext)")
    folder = tmp_path_factory.mktemp("slides")
    slides = list(scenes.values())
    (folder / "office.pptx").write_bytes(deck_pptx(slides, "Eleven views"))
    (folder / "print.pdf").write_bytes(deck_pdf(slides, "Eleven views", DARK))
    office = [OFFICE, f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", "pdf"]
    commands = [[*office, "--outdir", folder, folder / "office.pptx"]]
    commands += [[TO_PNG, "-r", "60", "-png", folder / f"{kind}.pdf", folder / kind] for kind in KINDS]
    for command in commands:
        subprocess.run(command, check=True, capture_output=True, timeout=patience(300))
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_rendered_slide_matches_layout(scenes, drawn, name, kind):
    every = list(numbered(list(scenes.values())))
    files = sorted(drawn.glob(f"{kind}-*.png"))
    assert len(files) == len(every), "a page for each slide, and one for the proof"
    for number, (file, (scene, page)) in enumerate(zip(files, every, strict=True), 1):
        if scene is scenes[name]:
            check_page(file, page)
            command = [TO_TEXT or "", "-f", str(number), "-l", str(number), drawn / f"{kind}.pdf", "-"]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            # It can be selected.
            assert scene.title.split(" ")[0] in text


def check_page(file: Path, page: Page) -> None:
    pixels = np.asarray(Pillow.open(file).convert("RGB")).astype(int)
    height, width = pixels.shape[:2]
    assert width / height == pytest.approx(16 / 9, rel=0.02)
    inked = np.abs(pixels - DARK.ground).max(-1) > 60
    expected = np.zeros(inked.shape, bool)

    def part(place: Rect, around: float = 0.0) -> tuple[slice, slice]:
        edges = (place.top - around, place.bottom + around, place.left - around, place.right + around)
        scale = (height / HEIGHT, height / HEIGHT, width / WIDTH, width / WIDTH)
        top, bottom, left, right = (max(0, round(edge * by)) for edge, by in zip(edges, scale, strict=True))
        return slice(top, bottom), slice(left, right)

    for item in page.items:
        expected[part(item.rect, 0.8)] = True
        if isinstance(item, Visual):
            assert np.ptp(pixels[part(item.rect)]) > 60, item
        if isinstance(item, Text):
            assert inked[part(item.rect)].any(), item
    # Nothing is drawn outside its place: no text runs over its edge. The last row is half of the page.
    assert (inked & ~expected)[:-1].mean() < 0.001
