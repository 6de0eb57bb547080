"""The table of controls: what a recipe or an address sets is what the page asks the engine."""

from typing import Any

import pytest
import streamlit as st

from sightglass.explain import Explainer
from sightglass.ui.session import control_table, state, url_state
from sightglass.ui.session.control_table import CONTROLS, Page

VALUES: dict[str, tuple[Any, ...]] = {
    "method": ("layercam", "drise"),
    "evidence": ("for", "both"),
    "part": ("class", "contrast", "left"),
    "layers": ((), ("model.9",), ("model.4", "model.9")),
    "preprocessing": ("trained", "squash"),
    "confidence": (0.0, 0.0149, 0.25, 1 / 3, 1.0),
    "classes": ((), ("gear",), ("star", "rod-cross")),
    "iou": (0.0, 1e-3, 0.47, 0.7, 1.0),
    "masks": (None, 1, 100_000),
    "head": (None, 0, 11),
    "within": ("picture", "inside", "shared", "each"),
    "vocabulary": ((), ("red star", "100 % wool")),
    "joint": ("left wrist y", "nose visibility"),
    "top_k": (2, 5),
    "per": ("region", "pixel"),
}
WRONG = {
    "confidence": "101",
    "iou": "-1",
    "masks": "0",
    "head": "1.5",
    "within": "out",
    "part": "y",
    "classes": "unicorn",
}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(st, "query_params", {})
    page = Page(Explainer("demo-s"), chosen={"method": "gradcam"})
    monkeypatch.setattr(page.adapter, "joints", ("left wrist", "nose"))
    monkeypatch.setattr(type(page.task), "spans", ("region", "pixel"))
    return page


def values(page: Page, option: str) -> Any:
    """What the controls of an option ask the engine; two of a joint together."""
    found = [control.value(page) for control in CONTROLS if control.option == option]
    return found[0] if len(found) == 1 else " ".join(found)


@pytest.mark.parametrize("option", dict.fromkeys(control.option for control in CONTROLS))
def test_round_trip(shown: Page, option: str) -> None:
    for value in VALUES[option]:
        control_table.set_options({option: value})
        assert values(shown, option) == value
        state.forget(url_state.Memory)
        # The same by the address.
        rows = [control for control in CONTROLS if control.option == option]
        st.query_params.update({control.name: url_state.to_text(control.codec[0](value)) for control in rows})
        assert values(shown, option) == value and not state.of(url_state.Unused).waiting


@pytest.mark.parametrize("option", WRONG)
def test_wrong_value(shown: Page, option: str) -> None:
    control = control_table.find(option)
    default = control.value(shown)
    st.query_params[control.name] = WRONG[option]
    assert control.value(shown) == default and len(state.of(url_state.Unused).waiting) == 1


def test_class_index(shown: Page) -> None:
    control_table.set_options({"classes": (2, 0)})
    labels = shown.adapter.labels
    assert values(shown, "classes") == (labels[2], labels[0])
