"""Declare Streamlit components from JavaScript modules."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.browser import BROWSER, join
from sightglass.common.files.packing import pack_data
from sightglass.ui.session import state

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamlit.components.v2.types import ComponentRenderer


Event = tuple[str, str, str]
"""What was sent: the page, a component's key, and the name of the value."""


@dataclass
class _Received:
    """Events of components that no run has read yet.

    Streamlit gives an event to one run only, which another may interrupt before it comes to the component.
    """

    events: dict[Event, Any] = field(default_factory=dict)


def _event(key: str, name: str) -> Event:
    return state.of(state.Navigation).page, key, name


def _receive(key: str, name: str) -> None:
    # Streamlit may give an event a second time, after the run that read it has left the page.
    component = st.session_state.get(key)
    value = getattr(component, name, None)
    if value is not None:
        state.of(_Received).events[_event(key, name)] = value


def _ignore() -> None:
    """Streamlit returns only values with a callback."""


def declare(
    name: str,
    beside: str | Path,
    *,
    states: tuple[str, ...] = (),
    events: tuple[str, ...] = (),
    html: str | None = None,
) -> Callable[..., SimpleNamespace]:
    """Return a component's function; its files are read at first use.

    `NAME.js` has the default export; it, its HTML and CSS are in the folder of the file `beside`. `states`: names of
    the values that the browser sets; `events`: of those that one run receives. The function takes `key`, and `data`,
    packed or to be packed. `html`: without a file.
    """
    path = Path(beside).with_name(f"{name}.js")

    def draw(*, key: str, data: Any = None, **more: Any) -> SimpleNamespace:
        callbacks: dict[str, Any] = {f"on_{value}_change": _ignore for value in states}
        callbacks |= {f"on_{value}_change": partial(_receive, key, value) for value in events}
        # In a dict Streamlit would look for tables, and import pandas to do so.
        data = pack_data(data) if isinstance(data, dict) else data
        result = _register(name, path, html)(key=key, data=data, **callbacks, **more)
        received = state.of(_Received).events
        sent = {value: getattr(result, value) for value in states}
        sent |= {value: received.pop(_event(key, value), getattr(result, value)) for value in events}
        return SimpleNamespace(**sent)

    return draw


@cache
def _register(name: str, script: Path, html: str | None) -> ComponentRenderer:
    page, style = (script.with_suffix(f".{kind}") for kind in ("html", "css"))
    html = page.read_text("utf-8") if page.exists() else html
    styles = [path.read_text("utf-8") for path in (BROWSER / "shared.css", style) if path.exists()]
    return st.components.v2.component(
        f"sightglass_{name}", html=html, css="\n".join(styles) if html else None, js=join(script)
    )
