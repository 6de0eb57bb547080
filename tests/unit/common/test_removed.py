"""A removed name answers with what to use instead, wherever it is used."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from sightglass.api import routes
from sightglass.cli import main
from sightglass.common import environment, removed

SENTENCE = "It was removed: use History instead."


def test_a_removed_verb_and_a_removed_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(removed.VERBS, "gone", SENTENCE)
    monkeypatch.setitem(removed.OPTIONS, "--gone", SENTENCE)
    assert main(["gone", "bus.jpg"]) == 2
    assert SENTENCE in capsys.readouterr().err
    assert main(["image", "bus.jpg", "--gone"]) == 2
    assert "use History instead" in capsys.readouterr().err


def test_a_removed_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(removed.ROUTES, "/api/gone", SENTENCE)
    client = TestClient(Starlette(routes=routes()), base_url="http://localhost")
    for path in ("/api/gone", "/api/gone/1"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["detail"]) == (410, SENTENCE)


def test_a_removed_setting_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(removed.SETTINGS, "SIGHTGLASS_GONE", SENTENCE)
    monkeypatch.setenv("SIGHTGLASS_GONE", "1")
    assert SENTENCE in environment.find_removed()
    assert environment.unknown() == []
