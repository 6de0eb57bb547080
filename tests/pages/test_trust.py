"""Trust: each test of the map shows what the engine says of it, can be stopped, and says what is wrong."""

from __future__ import annotations

import json
import struct
from collections import OrderedDict
from threading import Event
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.components.proof import map_tests as parts
from sightglass.components.session.jobs import background
from sightglass.components.session.page import SOMETHING_BROKE
from sightglass.components.session.pictures import image_source
from sightglass.explain import Explainer
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.faithfulness import badge, scramble, stability
from sightglass.explain.phrases import percent
from sightglass.history import History
from tests.conftest import PERSONS
from tests.pages.conftest import rerun_until, texts

SCREEN = "pages/trust.py"


def titles(app: AppTest) -> list[list[str]]:
    """The panels' titles of each viewer on the page, in their order."""
    found = []
    for element in app.get("bidi_component"):
        if element.proto.component_name.endswith("viewer"):
            (length,) = struct.unpack("<I", element.proto.bytes[:4])
            head = json.loads(element.proto.bytes[4 : 4 + length])
            found.append([panel["title"] or panel["maps"][0]["title"] for panel in head["panels"]])
    return found


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label == label).click().run()


def until(app: AppTest, words: str) -> None:
    """Run the page as its progress does, until it says something."""

    def said() -> bool:
        assert not app.exception and not app.error
        return words in texts(app)

    rerun_until(app, said, 240)


@pytest.fixture(autouse=True)
def _nothing_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is expected is computed while no page polls, for long on a busy machine."""
    monkeypatch.setattr(background, "ABANDONED", 600.0)


@pytest.fixture
def explanation() -> Any:
    return Explainer("efficientnet-lite0")(image_source.example("bus"))


def test_the_weights_are_scrambled_as_the_page_opens(page, explanation, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    history = History()
    monkeypatch.setattr(badge, "_tests", OrderedDict())
    monkeypatch.setattr(scramble, "_CACHE", ByteCache(1 << 24, lambda one: one.nbytes))
    app = page(SCREEN, method="gradcam")
    expected = scramble.scramble(explanation)
    until(app, expected.sentence)
    assert app.markdown[0].value == "## GradCAM's map of minibus depends on the model"
    (strip,) = titles(app)
    assert strip[0] == "The map" and len(strip) == 1 + len(expected.stages)
    assert strip[1] == f"{percent(expected.stages[0].share)} random" and strip[-1] == f"{percent(1.0)} random"
    # The verdict can be shown to a room.
    press(app, "Add to deck")
    press(app, "Add the slide")
    assert not app.exception and not app.error
    (deck,) = history.decks.all()
    assert [slide.title for slide in deck.slides] == ["GradCAM's map of minibus depends on the model"]
    # Nothing else was computed.
    assert "Change the picture slightly" in labels(app) and "Stop" not in labels(app)


def test_small_changes_show_what_the_engine_finds(page, explanation):
    app = page(SCREEN, method="gradcam")
    press(app, "Change the picture slightly")
    expected = stability.stability(explanation)
    until(app, expected.sentence)
    assert "### Does it hold still? Yes." in [one.value for one in app.markdown]
    # The weights, which the page scrambles by itself, may take longer or not.
    assert ["minibus", "Spread"] in titles(app)
    changes = app.dataframe[0].value
    assert list(changes["Score"]) == pytest.approx([one.score * 100 for one in expected.variants])
    assert list(changes["Answer changes"] == "yes") == [one.flips for one in expected.variants]


def test_a_test_can_be_stopped_and_started_again_and_ends_when_another_map_is_chosen(page, monkeypatch):
    begun: list[Event] = []

    def slow(*given: Any, progress: Any, cancel: Event) -> None:
        begun.append(cancel)
        progress(0.5, "4 of 8 changes")
        assert cancel.wait(60)
        raise Cancelled

    monkeypatch.setattr(stability, "stability", slow)
    # Nothing else is to be stopped.
    monkeypatch.setattr(parts, "QUICK_BYTES", 0)
    app = page(SCREEN)
    press(app, "Change the picture slightly")
    press(app, next(label for label in labels(app) if label == "Stop"))
    assert begun[0].is_set() and "Stopped before it finished." in texts(app) and "Stop" not in labels(app)
    press(app, "Start again")
    assert "Stop" in labels(app) and len(begun) == 2 and not begun[1].is_set()
    classes = next(menu for menu in app.selectbox if menu.label == "Map of")
    classes.set_value(classes.options[1]).run()
    assert begun[1].is_set() and "Change the picture slightly" in labels(app)
    assert not app.exception and not app.error


def test_what_is_wrong_is_said_where_the_test_was_to_be(page, monkeypatch):
    def empty(*given: Any, **how: Any) -> None:
        raise ModelProblem("Small changes are those of RGB pictures.")

    def broken(*given: Any, **how: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stability, "stability", empty)
    monkeypatch.setattr(scramble, "scramble", broken)
    app = page(SCREEN)
    press(app, "Change the picture slightly")
    assert [error.value for error in app.error] == [SOMETHING_BROKE, "Small changes are those of RGB pictures."]
    assert not app.exception


def test_a_model_that_names_nothing_is_tested_too(page, own_models, monkeypatch):
    own_models(PERSONS)
    monkeypatch.setattr(parts, "QUICK_BYTES", 0)
    app = page(SCREEN, model="persons")
    press(app, "Change the picture slightly")
    until(app, "similar to itself")
