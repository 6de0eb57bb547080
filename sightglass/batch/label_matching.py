"""Match folder names to a model's classes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTEST = 3
"""Letters that a folder's name needs to stand for a part of a class's name."""


def match(names: Iterable[str], classes: Collection[str]) -> Mapping[str, frozenset[str]]:
    """Return the classes that each name may mean; a name that matches none is left out.

    Case, separators and a plural do not count. A name is a class or one of its synonyms (`tench, Tinca tinca`); else
    the last words of some classes (`guitar` of `acoustic guitar`); else any of their words (`guitar` of `guitar pick`).

    >>> match(["Guitars", "2023"], ["acoustic guitar", "electric guitar", "drum"])
    {'Guitars': frozenset({'acoustic guitar', 'electric guitar'})}
    """
    spelled = {name: [_split_words(part) for part in (name, *name.split(","))] for name in classes}
    found = {name: _classes(_split_words(name), spelled) for name in dict.fromkeys(names)}
    return {name: every for name, every in found.items() if every}


def _classes(wanted: tuple[str, ...], spelled: Mapping[str, list[tuple[str, ...]]]) -> frozenset[str]:
    if not wanted:
        return frozenset()
    equal = frozenset(name for name, every in spelled.items() if wanted in every)
    if equal or sum(map(len, wanted)) < SHORTEST or all(word.isdecimal() for word in wanted):
        return equal
    count = len(wanted)
    ending = frozenset(name for name, every in spelled.items() if any(words[-count:] == wanted for words in every))
    return ending or frozenset(
        name
        for name, every in spelled.items()
        if any(words[at : at + count] == wanted for words in every for at in range(len(words) - count + 1))
    )


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
