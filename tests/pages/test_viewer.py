"""What a viewer cannot do is on no page, and what there is of an example is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sightglass.common import users
from sightglass.explain.explainer import Explainer
from sightglass.explain.picture.image import load_bundled
from sightglass.history import History
from tests.pages.conftest import texts

if TYPE_CHECKING:
    from pathlib import Path

    from streamlit.testing.v1 import AppTest

VERA, ULA = users.User("vera", "Vera", "viewer"), users.User("ula", "Ula", "user")
MODEL = "demo-cls-s"
WHOM = "ask an administrator of this server"
OFFERED = {
    "explore": {"Save", "Add to deck"},
    "detect": {"Save", "Add to deck"},
    "cheat": {"Add to deck"},
    "batch": {"Explain all"},
    "video": {"A clip"},
    "present": {"New deck", "Open a file"},
    # Of these the example, at the first visit.
    "errors": set(),
    "watch": set(),
}
"""What people who may save and start things find on a page."""


@pytest.fixture(autouse=True)
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("history", "monitor", "heatmaps", "batches", "clips"):
        monkeypatch.setenv(f"SIGHTGLASS_{name.upper()}", str(tmp_path / name))


def controls(app: AppTest) -> set[str]:
    """The labels of everything that can be pressed, switched or dropped on."""
    kinds = ("button", "toggle", "file_uploader", "checkbox", "popover", "text_area")
    return {str(getattr(one.proto, "label", "")) for kind in kinds for one in app.get(kind)}


def test_pages_offer_a_viewer_nothing_that_would_be_refused(visit: Any) -> None:
    opened = visit(VERA)
    for name in OFFERED:
        app = opened(name, model=MODEL)
        assert not (app.exception or app.error), name
        assert not controls(app) & {label for those in OFFERED.values() for label in those}, name
        if name in ("batch", "video", "present"):
            assert WHOM in texts(app), name
        if name in ("explore", "detect"):
            assert "Present" in controls(app)
            models = next(one for one in app.selectbox if one.label == "Model")
            assert not [option for option in models.options if "to download" in option or "not here" in option]


def test_a_user_finds_it_there(visit: Any) -> None:
    """Otherwise nothing would follow from a viewer not finding it."""
    opened = visit(ULA)
    for name, those in OFFERED.items():
        app = opened(name, model=MODEL)
        assert not (app.exception or app.error), name
        assert controls(app) >= those, name
        assert WHOM not in texts(app)


def test_a_viewer_is_told_so_where_nothing_is_saved_and_reads_what_is(visit: Any) -> None:
    opened = visit(VERA)
    opened("explore", model=MODEL)
    app = opened("history")
    assert not (app.exception or app.error)
    assert "Viewers cannot save anything" in texts(app)
    # Of a time as a user.
    with users.acting(users.User("vera", "Vera", "user")):
        kept = History().keep(Explainer(MODEL)(load_bundled("china"), top_k=1), note="whiskers", tags=["striped"])
    app = opened("history", kept=kept.id)
    assert not (app.exception or app.error)
    assert {"whiskers", "striped"} <= {str(one.value) for one in (*app.markdown, *app.caption)}
    assert not controls(app) & {"Delete", "Annotate", "Tags"}
    assert "Present" in controls(app)


def test_a_model_that_an_address_names_is_refused_to_a_viewer_in_a_sentence(
    visit: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SIGHTGLASS_OFFLINE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path))
    app = visit(VERA)("explore", model="timm/xcit_nano_12_p8_224")
    assert not app.exception
    assert any("viewers cannot start a download" in one.value for one in app.error)
    assert "Try again" not in controls(app)


def test_a_viewer_presents_what_is_on_the_page(visit: Any) -> None:
    app = visit(VERA)("explore", model=MODEL)
    next(button for button in app.button if button.label == "Present").click().run()
    assert not (app.exception or app.error)
    assert "Viewers cannot add it to a deck" in texts(app)
    assert {"Title", "Sentence"} <= {field.label for field in (*app.text_input, *app.text_area)}
    assert "Add the slide" not in controls(app)
