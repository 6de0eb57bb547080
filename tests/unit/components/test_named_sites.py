"""Which pages an operator named as this server's own, in Streamlit's options."""

from __future__ import annotations

from typing import Any

import pytest
import streamlit as st

from sightglass.components.session import provider


@pytest.mark.parametrize(
    ("options", "origin", "named"),
    [
        ({}, "http://localhost:9999", False),
        ({}, "https://example.org", False),
        ({"browser.serverAddress": "example.org"}, "https://example.org", True),
        ({"browser.serverAddress": "example.org"}, "https://other.example.org", False),
        ({"browser.serverAddress": "127.0.0.1"}, "http://127.0.0.1:9999", False),
        ({"server.corsAllowedOrigins": ["http://localhost:3000"]}, "http://localhost:3000", True),
        ({"server.corsAllowedOrigins": ["http://localhost:3000"]}, "http://localhost:3001", False),
        ({"server.enableCORS": False}, "http://localhost:9999", True),
        ({}, "null", False),
        ({}, "http://[", False),
    ],
)
def test_a_site_is_named_by_its_address_or_its_origin(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], origin: str, named: bool
) -> None:
    default = st.get_option
    monkeypatch.setattr(st, "get_option", lambda name: options.get(name, default(name)))
    assert provider.is_named_site(origin) == named
