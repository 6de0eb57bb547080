"""What is chosen follows from screen to screen and lives in the page's address, by ids that stay.

Streamlit's own binding writes the words of a menu into the address; those change, and an id does not. A widget that is
not on the page loses its value, so what was chosen is remembered here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


def arrive(page: str) -> None:
    """Note on which screen this run is: a widget of another screen does not hand its value on by itself."""
    state = st.session_state
    state["arrived"], state["page"] = state.get("page") != page, page


def recall(
    key: str, options: Collection[Any] | None, default: Any, *, name: str = "", read: Callable[[str], Any] = str
) -> None:
    """Set a widget's value before it is drawn: as it was left, else as the address `name` says, else the default.

    `options` None: anything goes.
    """
    state = st.session_state
    memory: dict[str, Any] = state.setdefault("memory", {})
    for found in (state.get(key), memory.get(key), None if key in memory else _addressed(name, read), default):
        if found is not None and (options is None or _within(found, options)):
            break
    # Not on every run: what a hand is changing right now would be set back.
    if state.get("arrived", True) or key not in state or state[key] != found:
        state[key] = found


def remembered(
    key: str, options: Collection[Any] | None, default: Any, *, name: str = "", read: Callable[[str], Any] = str
) -> Any:
    """What `recall` would set, for a widget that is not drawn: as it was kept, else the address's, else the default."""
    memory: dict[str, Any] = st.session_state.setdefault("memory", {})
    for found in (memory.get(key), None if key in memory else _addressed(name, read)):
        if found is not None and (options is None or _within(found, options)):
            return found
    return default


def keep(key: str, value: Any, default: Any = None, *, name: str = "") -> None:
    """Remember what a widget returned, and write it to the address where it is not what everybody starts with."""
    st.session_state.setdefault("memory", {})[key] = value
    if name:
        write(name, value, default)


def recall_own(key: str, options: Collection[Any], default: Any, *, name: str) -> None:
    """As `recall`, where each model has a default of its own: what nobody chose does not go along to the next model."""
    state = st.session_state
    defaults: dict[str, Any] = state.setdefault("defaults", {})
    if defaults.get(key, default) != default and state.get(key) == defaults[key]:
        del state[key]
    defaults[key] = default
    recall(key, options, default, name=name)


def keep_own(key: str, value: Any, options: Collection[Any], default: Any, *, name: str) -> None:
    """As `keep`, after `recall_own`: a choice that this model cannot follow, or starts with, stays for the others."""
    memory: dict[str, Any] = st.session_state.setdefault("memory", {})
    if value != default:
        memory[key] = value
    elif memory.get(key) in options and memory[key] != value:
        memory[key] = None
    write(name, value, default)


def write(name: str, value: Any, default: Any = None) -> None:
    """Put a value into the address, or take it out where it is the default."""
    if value is None or value == default:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != str(value):
        st.query_params[name] = str(value)


def _addressed(name: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(st.query_params[name]) if name in st.query_params else None
    except ValueError:
        return None


def _within(value: Any, options: Collection[Any]) -> bool:
    return all(part in options for part in value) if isinstance(value, list) else value in options
