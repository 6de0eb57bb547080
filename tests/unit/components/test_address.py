"""Where the dashboard says that it is."""

from __future__ import annotations

import pytest
from streamlit import net_util

from sightglass.components.choices import import_ahead


@pytest.mark.parametrize(
    ("host", "own", "said"),
    [
        ("localhost", "10.0.0.5", ["http://localhost:8501"]),
        ("::1", "10.0.0.5", ["http://[::1]:8501"]),
        ("0.0.0.0", "10.0.0.5", ["http://localhost:8501", "http://10.0.0.5:8501"]),
        ("::", "127.0.0.1", ["http://localhost:8501"]),
        (None, "10.0.0.5", ["http://localhost:8501", "http://10.0.0.5:8501"]),
    ],
)
def test_addresses_are_those_to_type(
    host: str | None, own: str, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(net_util, "get_internal_ip", lambda: own)
    assert import_ahead.addresses(host) == said
