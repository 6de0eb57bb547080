"""How long a server keeps the session of a browser that is away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamlit import config

from sightglass.components import streamlit_internals as away


@pytest.fixture
def option() -> Iterator[object]:
    """Streamlit's own, which this test may change."""
    before = config._config_options
    try:
        config.get_config_options(force_reparse=True)
        yield config.get_option(away.AWAY_OPTION)
    finally:
        config._config_options = before


def test_in_a_small_place_sessions_are_let_go_sooner(option: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGHTGLASS_PROFILE", raising=False)
    away.shorten_absence()
    assert config.get_option(away.AWAY_OPTION) == option == 120
    monkeypatch.setenv("SIGHTGLASS_PROFILE", "small")
    away.shorten_absence()
    assert config.get_option(away.AWAY_OPTION) == away.AWAY_SECONDS


def test_what_an_operator_set_wins(option: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_PROFILE", "small")
    config.set_option(away.AWAY_OPTION, 600)
    away.shorten_absence()
    assert config.get_option(away.AWAY_OPTION) == 600
