"""Keep widget values in the URL.

Streamlit's own binding writes a menu's label into the address; labels change, ids do not. Streamlit also drops the
value of a widget that is not on the page, so values are remembered here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import unquote

import streamlit as st

from sightglass.ui.session import state
from sightglass.ui.session.markdown import escape, shorten

MAX_VALUE = 40
"""Characters that are shown of a value of the address."""


T = TypeVar("T")


@dataclass
class Memory:
    """Each widget's last value, and the defaults that depend on the model."""

    values: dict[str, Any] = field(default_factory=dict)
    linked: set[str] = field(default_factory=set)
    """The parameters that `take_linked` returned."""
    defaults: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, str | None] = field(default_factory=dict)
    """The last value of each parameter that was written to the address; None of a removed one."""


@dataclass(frozen=True)
class Range:
    """The numbers that a number input or a slider takes."""

    low: float
    high: float

    def __contains__(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high)


def arrive(page: str) -> None:
    """Note the drawn page: other pages' widgets do not pass values on."""
    navigation = state.of(state.Navigation)
    navigation.arrived, navigation.page = navigation.page != page, page


def memory(key: str) -> Any:
    """Return a widget's last value, drawn or not; None without one."""
    return state.of(Memory).values.get(key)


def put(key: str, value: Any, *, drawn_only: bool = False) -> None:
    """Set and remember a widget's value, in a callback.

    `drawn_only`: only remember it while the widget is not on the page, where a value set now would come up again after
    the widget was removed.
    """
    if not drawn_only or key in st.session_state:
        st.session_state[key] = value
    keep(key, value)


def widget(
    draw: Callable[..., T | None],
    label: str,
    options: Collection[Any] | None,
    first: T,
    *,
    key: str,
    name: str = "",
    read: Callable[[str], Any] = str,
    **about: Any,
) -> T:
    """Draw a widget with its remembered, linked or `first` value; remember it.

    `options`: the values that are valid, with their labels if they are a dictionary; None for any text. `name`: the
    parameter of the address, if any; `read` turns its text into a value. Switches need neither `options` nor `read`.
    """
    if isinstance(first, bool):
        options, read = (True, False), lambda text: text != "0"
    kind = getattr(draw, "__name__", "")
    valid = Range(about["min_value"], about["max_value"]) if kind in ("number_input", "slider") else options
    recall(key, valid, first, name=name, read=read)
    if isinstance(options, dict):
        about["format_func"] = options.__getitem__
    if kind == "segmented_control":
        about["required"] = True
    if kind == "multiselect":
        # With it, a typed name and Enter would take every name that it is a part of.
        about.setdefault("select_all", False)
    if kind not in ("checkbox", "number_input", "slider", "text_input", "toggle"):
        about["options"] = list(options or ())
    chosen = draw(label, key=key, **about)
    keep(key, chosen, first, name=name)
    return first if chosen is None else chosen


def recall(
    key: str, options: Container[Any] | None, default: Any, *, name: str = "", read: Callable[[str], Any] = str
) -> None:
    """Set a widget's value before drawing: remembered, linked or default."""
    current = st.session_state.get(key)
    value = current if _valid(current, options) else recall_value(key, options, default, name=name, read=read)
    # Not on every run: it would undo what a person is changing right now.
    if state.of(state.Navigation).arrived or key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


def recall_value(
    key: str, options: Container[Any] | None, default: Any, *, name: str = "", read: Callable[[str], Any] = str
) -> Any:
    """Return the value of `recall` for a hidden widget."""
    values, linked = state.of(Memory).values, st.query_params.get(name)
    value = values.get(key)
    if key not in values and linked is not None:
        with suppress(ValueError):
            value = read(linked)
    if _valid(value, options):
        return value
    if key not in values and linked:
        leave_out(name, linked)
    return default


def take_linked(name: str) -> str:
    """Return a parameter of the address that the session began with, once; empty without it."""
    linked = state.of(Memory).linked
    value = "" if name in linked else st.query_params.get(name, "")
    linked.add(name)
    return value


def take_pair(name: str, labels: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of the two labels that the address names, once."""
    text = take_linked(name)
    if not text:
        return None
    pair = read_list(text)
    if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(labels):
        leave_out(name, text)
        return None
    return labels.index(pair[0]), labels.index(pair[1])


def keep(key: str, value: Any, default: Any = None, *, name: str = "") -> None:
    """Remember a widget's value; write other values than the default."""
    state.of(Memory).values[key] = value
    if name:
        write(name, value, default)


def recall_own(key: str, options: Collection[Any], default: Any, *, name: str) -> None:
    """Recall a value with a different default for each model."""
    defaults = state.of(Memory).defaults
    if defaults.get(key, default) != default and st.session_state.get(key) == defaults[key]:
        del st.session_state[key]
    defaults[key] = default
    recall(key, options, default, name=name)


def keep_own(key: str, value: Any, options: Collection[Any], default: Any, *, name: str) -> None:
    """Keep a value after `recall_own`, also one not offered here."""
    values = state.of(Memory).values
    if value != default:
        values[key] = value
    elif values.get(key) in options and values[key] != value:
        values[key] = None
    write(name, value, default)


def write(name: str, value: Any, default: Any = None) -> None:
    """Write a value to the address, or remove the default."""
    whole = isinstance(value, bool) or (isinstance(value, float) and value.is_integer())
    text = write_list(value) if isinstance(value, list) else str(int(value) if whole else value)
    wanted = None if value is None or value == default else text
    sent = state.of(Memory).sent
    # A click that follows another one closely brings the address as it was before the run of the first: what that run
    # wrote may reach the browser after it.
    if st.query_params.get(name) != wanted or sent.get(name, wanted) != wanted:
        sent[name] = wanted
        query = st.query_params.to_dict() | {name: wanted}
        st.query_params.from_dict({name: text for name, text in query.items() if text is not None})


def to_percent(share: float) -> float:
    """Return a share in percent, without what binary fractions add; a whole number as an int."""
    percent = 100 * Decimal(str(share))
    return int(percent) if percent == int(percent) else float(percent)


def to_share(percent: float) -> float:
    """Return the share of `to_percent`."""
    return float(Decimal(str(percent)) / 100)


def write_list(values: list[str]) -> str:
    """Join texts, which may have commas."""
    return ",".join(value.replace("%", "%25").replace(",", "%2C") for value in values)


def read_list(text: str) -> list[str]:
    """Split what `write_list` joined."""
    return [unquote(value) for value in text.split(",")]


def _valid(value: Any, options: Container[Any] | None) -> bool:
    if value is None or options is None:
        return value is not None
    return all(part in options for part in value) if isinstance(value, list) else value in options


@dataclass
class Unused:
    """Sentences on what was left out of this session's links."""

    waiting: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)


def leave_out(name: str, value: str) -> None:
    """Report an unknown value of an address parameter."""
    shortened = shorten(" ".join(value.split()), MAX_VALUE)
    note(f"The link's {name.replace('-', ' ')} “{escape(shortened)}” is not offered here: it was left out.")


def say_unused() -> None:
    """Report left-out parameters once, in a dismissible line."""
    unused = state.of(Unused)
    for words in unused.waiting:
        st.toast(words, icon=":material/link_off:", duration="infinite")
    unused.said.update(unused.waiting)
    unused.waiting.clear()


def note(words: str) -> None:
    """Say something of the address once, at the end of the run."""
    unused = state.of(Unused)
    if words not in unused.said and words not in unused.waiting:
        unused.waiting.append(words)
