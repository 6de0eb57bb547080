"""What the packaged decks say follows from the numbers and maps of their slides."""

import re
from itertools import combinations

import numpy as np
import pytest

from sightglass import examples
from sightglass.history.decks import READY, SUFFIX, read
from sightglass.report import Map, Picture, View
from sightglass.report.layouts import Text, pages
from sightglass.report.views import MAX_WORDS

SAME_PLACE = 0.5
SAID = re.compile(r"(small|medium|large) ([a-z ]+), (\d+)\u00a0% sure", re.IGNORECASE)


@pytest.fixture(scope="module")
def decks() -> dict[str, list[View]]:
    folder = examples.find(examples.DECKS)
    return {name: [slide.view for slide in read(folder / f"{name}{SUFFIX}").slides] for name in READY}


def overlap(first: Map, second: Map) -> float:
    """Overlap of the hottest fifths of what both models saw, 0..1."""
    regions, (width, height) = [first.seen or (0, 0, 1, 1), second.seen or (0, 0, 1, 1)], (960, 720)
    left, top = (max(part[i] for part in regions) for i in (0, 1))
    right, bottom = (min(part[i] for part in regions) for i in (2, 3))
    rows = slice(round(top * height), round(bottom * height))
    columns = slice(round(left * width), round(right * width))
    parts = [item.upsampled(width, height)[rows, columns] for item in (first, second)]
    hot = [part >= np.quantile(part, 0.8) for part in parts]
    return float((hot[0] & hot[1]).sum() / (hot[0] | hot[1]).sum())


def of_models(view: View) -> list[Picture]:
    return [picture for picture in view.pictures if picture.answers]


def test_slides_are_short_and_ask_for_no_key_that_is_gone(decks: dict[str, list[View]]) -> None:
    for name, views in decks.items():
        for view in views:
            assert len(view.title.split(" ")) <= MAX_WORDS, (name, view.title)
            assert not re.search(r"[Pp]ress (L|P|1)\b|Build it up", view.notes), (name, view.title)
            for page in pages(view):
                texts = {item.name: item.words for item in page.items if isinstance(item, Text)}
                assert texts["title"] == view.title and not texts.get("text", "").endswith("…"), (name, view.title)
                if view.sides and page.layout != "chart":
                    assert any(item.words.startswith("Red: ") for item in page.items if isinstance(item, Text))


def test_answers_of_models_are_those_of_their_panels(decks: dict[str, list[View]]) -> None:
    slides = [view for view in decks["sizes"] if len(of_models(view)) > 1 and SAID.search(view.sentence)]
    assert len(slides) >= 2
    for view in slides:
        answers = [(picture.answers[0][0], round(100 * picture.answers[0][1])) for picture in of_models(view)]
        assert [(label, int(score)) for _, label, score in SAID.findall(view.sentence)] == answers
        agree = len({label for label, _ in answers}) == 1
        assert view.title.startswith("They agree" if agree else "They do not say the same")
        if agree:
            surest = ("small", "medium", "large")[int(np.argmax([score for _, score in answers]))]
            assert f"the {surest} one is the surest" in view.title


def test_a_difference_is_of_two_maps_of_one_class(decks: dict[str, list[View]]) -> None:
    views = [view for view in decks["sizes"] if view.sides]
    assert views
    for view in views:
        maps = {f"more {picture.name}": picture.map for picture in of_models(view)}
        assert len({item.label for side in view.sides if (item := maps[side]) is not None}) == 1, view.title


def test_places_are_those_of_the_maps_on_the_slide(decks: dict[str, list[View]]) -> None:
    (view,) = [view for view in decks["sizes"] if view.title.startswith("Asked about")]
    maps = [picture.map for picture in of_models(view) if picture.map is not None]
    assert len(maps) == 3 and all(f"Asked about {item.label}," in view.title for item in maps)
    alike = [overlap(*pair) >= SAME_PLACE for pair in combinations(maps, 2)]
    where = "the same place" if all(alike) else "not all mark one place" if any(alike) else "different places"
    assert view.title.endswith(where), alike


def test_another_answer_s_map_moves_or_stays_as_its_slide_says(decks: dict[str, list[View]]) -> None:
    slides = decks["lies"]
    moved = next(view for view in slides if view.title.startswith("Ask for another answer"))
    before = slides[slides.index(moved) - 1]
    first, second = (view.pictures[0].map for view in (before, moved))
    assert first is not None and second is not None
    assert moved.title.endswith("stays" if overlap(first, second) >= SAME_PLACE else "moves")
    assert second.label in moved.sentence
    flat = next(view for view in slides if "EigenCAM" in view.sentence)
    same = overlap(*(picture.map for picture in flat.pictures if picture.map is not None)) >= SAME_PLACE
    assert flat.title.startswith("Some maps lie" if same else "Two methods can disagree")
