"""Keep widget values in the URL.

Streamlit's own binding writes a menu's label into the address; labels change, ids do not. Streamlit also drops the
value of a widget that is not on the page, so values are remembered here.
"""

from collections.abc import Callable, Collection, Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from urllib.parse import unquote

import streamlit as st

from sightglass.ui.session import state
from sightglass.ui.session.markdown import escape, shorten

MAX_VALUE = 40
"""Characters that are shown of a value of the address."""
VALUED = ("checkbox", "number_input", "slider", "text_input", "toggle")
"""Kinds of widgets without options."""
T = TypeVar("T")


@dataclass
class Memory(state.Kept):
    """Each widget's last value, and the defaults that depend on the model."""

    values: dict[str, Any] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    """Parameters of the address that a callback set, for the controls that are drawn next."""
    linked: set[str] = field(default_factory=set)
    """The parameters that `read_once` returned."""
    defaults: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, str | None] = field(default_factory=dict)
    """The last value of each parameter that the address has or should have; None of a removed one."""
    said: set[str] = field(default_factory=set)
    """Sentences on what was left out of links."""

    def kept(self) -> Self:
        """Return the values, without what is known of the address.

        The address is read again, and written as a new browser page needs it.
        """
        return type(self)(values={**self.values}, defaults={**self.defaults}, said={*self.said})


@dataclass(frozen=True)
class Range:
    """The numbers that a number input or a slider takes."""

    low: float
    high: float

    def __contains__(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high)


def memory(key: str) -> Any:
    """Return a widget's last value, drawn or not; None without one."""
    return state.of(Memory).values.get(key)


def link(**parameters: str) -> None:
    """Have controls begin anew as in a link with these parameters, in a callback; an empty text is the default."""
    state.of(Memory).links |= parameters


def widget(
    draw: Callable[..., T | None],
    label: str,
    options: Collection[Any] | None,
    default: T,
    *,
    key: str,
    name: str = "",
    read: Callable[[str], Any] = str,
    by_model: bool = False,
    **about: Any,
) -> T:
    """Draw a widget with its remembered, linked or `default` value; remember it.

    `options`: the values that are valid, with their labels if they are a dictionary; None for any text. `name`: the
    parameter of the address, if any; `read` turns its text into a value. Switches need neither `options` nor `read`.
    `by_model`: `default` depends on the model, so only what was chosen is remembered.
    """
    if isinstance(default, bool):
        options, read = (True, False), _read_truth
    kind = getattr(draw, "__name__", "")
    valid = Range(about["min_value"], about["max_value"]) if kind in ("number_input", "slider") else options
    if by_model:
        defaults = state.of(Memory).defaults
        if defaults.get(key, default) != default and st.session_state.get(key) == defaults[key]:
            del st.session_state[key]
        defaults[key] = default
    value = recall_value(key, valid, default, name=name, read=read)
    state.of(Memory).links.pop(name, None)
    # Not on every run: it would undo what a person is changing right now.
    if state.of(state.Navigation).arrived or key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value
    # A browser that first draws it now, in a popover that opens, begins with its default.
    elif kind in VALUED:
        about["value"] = value
    elif kind in ("multiselect", "pills", "segmented_control"):
        about["default"] = value
    elif value in (listed := list(options or ())):
        about["index"] = listed.index(value)
    if isinstance(options, dict):
        about["format_func"] = dict(zip(options, distinct(options.values()), strict=True)).__getitem__
    if kind == "segmented_control":
        about["required"] = True
    if kind == "multiselect":
        # With it, a typed name and Enter would take every name that it is a part of.
        about.setdefault("select_all", False)
    if kind not in VALUED:
        about["options"] = list(options or ())
    chosen = draw(label, key=key, **about)
    before = memory(key)
    if by_model and chosen == default:
        # What is not offered here is remembered for models that have it.
        remember(key, None if _valid(before, valid) and before != chosen else before)
        set_url(name, None)
    else:
        remember(key, chosen, default, name=name)
    return default if chosen is None else chosen


def distinct(labels: Iterable[str]) -> list[str]:
    """Number labels that repeat: Streamlit tells options apart by their labels alone."""
    names: dict[str, None] = {}
    for label in labels:
        name, number = label, 1
        while name in names:
            name, number = f"{label} ({number + 1})", number + 1
        names[name] = None
    return list(names)


def recall_value(
    key: str, options: Container[Any] | None, default: Any, *, name: str = "", read: Callable[[str], Any] = str
) -> Any:
    """Return the value that a widget has, or would have if it were drawn."""
    values, links, current = state.of(Memory).values, state.of(Memory).links, st.session_state.get(key)
    if name not in links and _valid(current, options):
        return current
    unread = key not in values and name not in links
    text, value = st.query_params.get(name) if unread else links.get(name), values.get(key)
    if text is not None:
        value = None
        with suppress(ValueError):
            value = read(text)
    if _valid(value, options):
        return value
    if unread and text:
        leave_out(name, text)
    return default


def read_once(name: str) -> str:
    """Return a parameter of the address that the session began with, once; empty without it."""
    linked = state.of(Memory).linked
    value = "" if name in linked else st.query_params.get(name, "")
    linked.add(name)
    return value


def read_pair_once(name: str, labels: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of the two labels that the address names, once."""
    text = read_once(name)
    if not text:
        return None
    pair = read_list(text)
    if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(labels):
        leave_out(name, text)
        return None
    return labels.index(pair[0]), labels.index(pair[1])


def remember(key: str, value: Any, default: Any = None, *, name: str = "") -> None:
    """Remember a widget's value; with a `name`, write it to the address as `set_url` does."""
    state.of(Memory).values[key] = value
    if name:
        state.of(Memory).links.pop(name, None)
        set_url(name, value, default)


def set_url(name: str, value: Any, default: Any = None) -> None:
    """Write a value to the address; None and the default are removed from it."""
    text = None if value is None or value == default else to_text(value)
    sent = state.of(Memory).sent
    # A click that follows another one closely brings the address as it was before the run of the first: what that run
    # wrote may reach the browser after it.
    changes = st.query_params.get(name) != text or sent.get(name, text) != text
    sent[name] = text
    if changes:
        query = st.query_params.to_dict() | {name: text}
        st.query_params.from_dict({name: text for name, text in query.items() if text is not None})


def drop(name: str) -> None:
    """Remove a parameter that is not offered here from the address, and report a link's."""
    text, memory = st.query_params.get(name), state.of(Memory)
    if text and name not in memory.links and memory.sent.get(name) != text:
        leave_out(name, text)
    set_url(name, None)


def to_text(value: Any) -> str:
    """Return a value as text of the address; empty for None."""
    if isinstance(value, list):
        return ",".join(part.replace("%", "%25").replace(",", "%2C") for part in value)
    whole = isinstance(value, bool) or (isinstance(value, float) and value.is_integer())
    return "" if value is None else str(int(value) if whole else value)


def _read_truth(text: str) -> bool:
    """Read a switch as `to_text` writes it; raises ValueError for other text."""
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"


def read_list(text: str) -> list[str]:
    """Split a list as `to_text` writes it."""
    return [unquote(value) for value in text.split(",")]


def _valid(value: Any, options: Container[Any] | None) -> bool:
    if value is None or options is None:
        return value is not None
    return all(part in options for part in value) if isinstance(value, list) else value in options


def leave_out(name: str, value: str) -> None:
    """Report an unknown value of an address parameter."""
    shortened = shorten(" ".join(value.split()), MAX_VALUE)
    report_once(f"The link's {name.replace('-', ' ')} “{escape(shortened)}” is not offered here: it was left out.")


def report_once(words: str) -> None:
    """Say something of the address once, in a dismissible line."""
    said = state.of(Memory).said
    if words not in said:
        said.add(words)
        st.toast(words, icon=":material/link_off:", duration="infinite")
