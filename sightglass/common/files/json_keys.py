"""Read JSON in which an object may have a key several times: Python's own reader keeps the last value of each."""

import json
from collections.abc import Iterable
from typing import Any

MAX_SHOWN = 40
"""Characters of a value in a sentence."""


class RepeatedKeys(dict[str, Any]):
    """A JSON object that gives a key several different values; as a dict it has the last of them."""

    def __init__(self, pairs: Iterable[tuple[str, Any]], reason: str) -> None:
        super().__init__(pairs)
        self.pairs = pairs
        """All keys and values as they are written."""
        self.reason = reason
        """`it has the key label twice, with dog and cat`."""


def load(text: str) -> tuple[Any, str]:
    """Return what a text of JSON holds, and why the first object that contradicts itself does; empty without one.

    Such an object is a `RepeatedKeys`. Raises ValueError and RecursionError, as `json.loads` does.
    """
    reasons: list[str] = []

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) == len(pairs) or not (reason := _find_reason(pairs)):
            return table
        reasons.append(reason)
        return RepeatedKeys(pairs, reason)

    value = json.loads(text, object_pairs_hook=read_object)
    return value, next(iter(reasons), "")


def _find_reason(pairs: Iterable[tuple[str, Any]]) -> str:
    first: dict[str, Any] = {}
    for key, value in pairs:
        if first.setdefault(key, value) != value:
            return f"it has the key {_show(key)} twice, with {_show(first[key])} and {_show(value)}"
    return ""


def _show(value: Any) -> str:
    return f"{value!s:.{MAX_SHOWN}}"


def find_repeated(value: Any) -> str:
    """Return why an object of JSON contradicts itself, or one within it does; empty where none does."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, RepeatedKeys):
            return each.reason
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return ""
