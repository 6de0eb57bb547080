"""Match folder names to a model's classes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTEST = 3
"""Letters that a folder's name needs for a question about a class whose name ends in it."""


def match(names: Iterable[str], classes: Collection[str]) -> Mapping[str, frozenset[str]]:
    """Return the classes that each name means; a name that matches none is left out.

    Case, separators and a plural do not count. A name is a class or one of its synonyms (`tench, Tinca tinca`); a part
    of a class's name is not enough: `leaf` is no leaf beetle.

    >>> match(["School_Buses", "bus"], ["school bus", "drum"])
    {'School_Buses': frozenset({'school bus'})}
    """
    spelled = _spell(classes)
    found = {name: _find_equal(_split_words(name), spelled) for name in dict.fromkeys(names)}
    return {name: every for name, every in found.items() if every}


def suggest(names: Iterable[str], classes: Collection[str]) -> Mapping[str, str]:
    """Return the only class whose name ends in each name, as a question to a person; names with none or several are
    left out.

    >>> suggest(["bus", "leaf"], ["school bus", "leaf beetle"])
    {'bus': 'school bus'}
    """
    spelled, found = _spell(classes), {}
    for name in dict.fromkeys(names):
        wanted = _split_words(name)
        if sum(map(len, wanted)) < SHORTEST or all(word.isdecimal() for word in wanted):
            continue
        ends = [one for one, every in spelled.items() if any(words[-len(wanted) :] == wanted for words in every)]
        if len(ends) == 1:
            found[name] = ends[0]
    return found


def _spell(classes: Collection[str]) -> Mapping[str, list[tuple[str, ...]]]:
    """Return the words of each class's name and of its synonyms."""
    return {name: [_split_words(part) for part in (name, *name.split(","))] for name in classes}


def _find_equal(wanted: tuple[str, ...], spelled: Mapping[str, list[tuple[str, ...]]]) -> frozenset[str]:
    return frozenset(name for name, every in spelled.items() if wanted and wanted in every)


def _split_words(text: str) -> tuple[str, ...]:
    """Return the words of a name in lower case, the last in its singular."""
    words = re.findall(r"[^\W_]+", text.casefold())
    return (*words[:-1], _singular(words[-1])) if words else ()


def _singular(word: str) -> str:
    if len(word) <= SHORTEST or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("ches", "shes", "sses", "xes", "buses")) else word[:-1]
