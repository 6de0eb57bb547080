"""What the packaged decks say follows from the numbers and maps of their slides."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass import examples
from sightglass.deck.archive import READY, SUFFIX, read
from sightglass.deck.making import MAX_WORDS
from sightglass.deck.page import Text, choose_map, pages

if TYPE_CHECKING:
    from sightglass.deck import Panel, Scene, SceneMap

SAME_PLACE = 0.5
SAID = re.compile(r"(small|medium|large) ([a-z ]+), (\d+)\u00a0% sure", re.IGNORECASE)


@pytest.fixture(scope="module")
def decks() -> dict[str, list[Scene]]:
    folder = examples.find(examples.DECKS)
    return {name: read((folder / f"{name}{SUFFIX}").read_bytes())[1] for name in READY}


def overlap(one: SceneMap, other: SceneMap) -> float:
    """Overlap of the hottest fifths of what both models saw, 0..1."""
    seen = [one.seen or (0, 0, 1, 1), other.seen or (0, 0, 1, 1)]
    height, width = one.values.shape
    left, top = (max(part[i] for part in seen) for i in (0, 1))
    right, bottom = (min(part[i] for part in seen) for i in (2, 3))
    rows = slice(round(top * height), round(bottom * height))
    columns = slice(round(left * width), round(right * width))
    hot = [m.values[rows, columns] >= np.quantile(m.values[rows, columns], 0.8) for m in (one, other)]
    return float((hot[0] & hot[1]).sum() / (hot[0] | hot[1]).sum())


def of_models(scene: Scene) -> list[Panel]:
    return [panel for panel in scene.panels if panel.answers]


def test_slides_are_short_and_ask_for_no_key_that_is_gone(decks: dict[str, list[Scene]]) -> None:
    for name, scenes in decks.items():
        for scene in scenes:
            assert len(scene.title.split(" ")) <= MAX_WORDS, (name, scene.title)
            assert not re.search(r"[Pp]ress (L|P|1)\b|Build it up", scene.notes), (name, scene.title)
            for page in pages(scene):
                texts = {item.name: item.words for item in page.items if isinstance(item, Text)}
                assert texts["title"] == scene.title and not texts.get("text", "").endswith("…"), (name, scene.title)


def test_answers_of_models_are_those_of_their_panels(decks: dict[str, list[Scene]]) -> None:
    slides = [scene for scene in decks["sizes"] if scene.kind == "models" and SAID.search(scene.sentence)]
    assert len(slides) >= 2
    for scene in slides:
        answers = [(panel.answers[0][0], round(100 * panel.answers[0][1])) for panel in of_models(scene)]
        assert [(label, int(score)) for _, label, score in SAID.findall(scene.sentence)] == answers
        agree = len({label for label, _ in answers}) == 1
        assert scene.title.startswith("They agree" if agree else "They do not say the same")
        if agree:
            surest = ("small", "medium", "large")[int(np.argmax([score for _, score in answers]))]
            assert f"the {surest} one is the surest" in scene.title


def test_places_are_those_of_the_maps_on_the_slide(decks: dict[str, list[Scene]]) -> None:
    (scene,) = [scene for scene in decks["sizes"] if scene.title.startswith("Asked about")]
    maps = [panel.maps[choose_map(scene, i) or 0] for i, panel in enumerate(scene.panels) if panel.maps]
    assert len(maps) == 3 and all(f"Asked about {one.label}," in scene.title for one in maps)
    alike = [overlap(*pair) >= SAME_PLACE for pair in combinations(maps, 2)]
    where = "the same place" if all(alike) else "not all mark one place" if any(alike) else "different places"
    assert scene.title.endswith(where), alike


def test_another_answer_s_map_moves_or_stays_as_its_slide_says(decks: dict[str, list[Scene]]) -> None:
    slides = decks["lies"]
    moved = next(scene for scene in slides if scene.title.startswith("Ask for another answer"))
    before = slides[slides.index(moved) - 1]
    first, shown = (scene.panels[0].maps[choose_map(scene, 0) or 0] for scene in (before, moved))
    assert moved.title.endswith("stays" if overlap(first, shown) >= SAME_PLACE else "moves")
    assert shown.label in moved.sentence
    flat = next(scene for scene in slides if "EigenCAM" in scene.sentence)
    same = overlap(*flat.panels[0].maps[:2]) >= SAME_PLACE
    assert flat.title.startswith("Some maps lie" if same else "Two methods can disagree")
