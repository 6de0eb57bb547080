"""Translate the words of the guides that users come from, as listed in `guide_words.toml`."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from sightglass.common.errors import Problem, did_you_mean

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def guides() -> Mapping[str, Mapping[str, Any]]:
    """Return the table's sections of each guide, by its name for `--like`."""
    return {name: guide for name, guide in _table().items() if name != "names"}


def names() -> Mapping[str, str]:
    """Return the arguments, fields and options of others, each with ours."""
    return _table()["names"]


@cache
def _section(section: str) -> Mapping[str, str]:
    """Return the words of a section of all guides, each with ours."""
    rows = [row for guide in guides().values() for row in guide.get(section, {}).items()]
    rows += names().items() if section == "names" else ()
    return {_plain(word): ours for words, ours in rows for word in words.split(", ")}


@cache
def _own() -> frozenset[str]:
    """Return the names of ours in the table."""
    return frozenset(name.partition("=")[0] for ours in names().values() for name in ours.split())


def _plain(word: str) -> str:
    """Return a word as keys are compared: options have either dash."""
    return word.replace("-", "_")


def _look_up(section: str, word: str) -> str | None:
    return _section(section).get(_plain(word))


def answer(word: str) -> str | None:
    """Return the sentence that explains a guide's word, or None."""
    ours = _look_up("here", word) or _look_up("here", word.lstrip("-"))
    here = _LINK.sub(r"docs/\1", ours or "")
    return f"{word}: {here}." if here not in ("", "the same") else None


def renamed(word: str, known: Collection[str]) -> str | None:
    """Return our name of an argument or option, or `name=value`; None if not `known`."""
    ours = (_look_up("names", word.lstrip("-")) or "").split()
    return next((name for name in ours if name.partition("=")[0] in known), None)


def advise(word: str, known: Collection[str], elsewhere: Mapping[str, str] | None = None) -> str:
    """Return the end of a sentence about a word that is not known.

    `elsewhere`: what to do with names that are not taken so here.
    """
    elsewhere = elsewhere or {}
    ours = word if word in elsewhere else renamed(word, {*known, *elsewhere})
    if ours is not None:
        return f"{elsewhere.get(ours.partition('=')[0], f'use {ours}')}."
    # What is ours is explained for the command line and for Python.
    here = "" if word in _own() else (answer(word) or "").partition(": ")[2]
    return here or did_you_mean(word, known, f"use one of {', '.join(known)}.")


def verb_first(args: Sequence[str], verbs: Collection[str], flags: Collection[str]) -> list[str]:
    """Return a command line with its verb in front; a guide's script becomes the verb that it stands for.

    `verbs` are those that are known, `flags` the options without a value. The verb may stand after options.
    """
    if [*args[1:3]] == ["-m", "sightglass"]:
        # As `python -m sightglass`.
        args = args[2:]
    for index, word in enumerate(args):
        if word.startswith("-") or (index > 0 and _takes_value(args[index - 1], flags)):
            continue
        rest, script = [*args[:index], *args[index + 1 :]], word.rpartition("/")[2]
        ours = _find_verb(script, rest)
        if ours is not None:
            return [ours, *rest] if ours else verb_first(rest, verbs, flags)
        if index == 0 or word in verbs:
            return [word, *rest]
    return list(args)


def _find_verb(script: str, rest: Sequence[str]) -> str | None:
    """Return the verb that a script is; "" where it follows, None for another word."""
    with_option = (_look_up("verbs", f"{script} {word.partition('=')[0]}") for word in rest)
    return next(filter(None, with_option), _look_up("verbs", script))


def _takes_value(word: str, flags: Collection[str]) -> bool:
    """Return whether a word is an option whose value is the next word, unlike `--top-k=3` and `-k3`."""
    alone = word.startswith("-") and "=" not in word and (len(word) < 3 or word[1] == "-")
    return alone and not _is_complete(word, flags)


def _is_complete(word: str, flags: Collection[str]) -> bool:
    """Return whether an option takes no value, as a flag."""
    return len((_look_up("taken", word) or word).split()) > 1 or word.replace("_", "-") in flags


_TRUTH = {"true": True, "false": False}


def without_truth(args: Sequence[str], flags: Collection[str]) -> list[str]:
    """Return the words with `--flag True` as the flag alone, and without `--flag False`."""
    kept, left = list[str](), list(args)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if not name.startswith("-") or not _is_complete(name, flags):
            kept.append(word)
            continue
        truth = _TRUTH.get((value if equals else "".join(left[:1])).lower())
        if truth is not None and not equals:
            left.pop(0)
        if truth is not False:
            kept.append(word if truth is None else name)
    return kept


def translate(args: Sequence[str], options: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a verb's words with the guides' options replaced by ours.

    `options`: those that the verb has, each with all of its names. `--like NAME` adds a guide's defaults, without the
    options that are given or that the verb lacks. Raises Problem for an unknown guide and a second model.
    """
    end = list(args).index("--") if "--" in args else len(args)
    words, others = args[:end], args[end:]
    ours = [part for word in words for part in _replace(word, options)]
    flags = [word.partition("=")[0] for word in ours]
    _check_one_model(words, flags, options.get("--model", ()))
    guide = _find_guide(ours)
    if not guide or "--like" not in options:
        return [*ours, *others]
    if guide not in guides():
        raise Problem(f"--like is {guide}: use {', '.join(guides())}.")
    present = {name for flag in flags for name in options.get(flag, ())}
    added: list[str] = []
    for flag, value in guides()[guide]["like"].items():
        if flag in options and flag not in present:
            added += filter(None, (flag, value))
    return [*added, *ours, *others]


def _check_one_model(words: Sequence[str], flags: Sequence[str], names: Sequence[str]) -> None:
    """Raise Problem where a guide's word names a second model.

    `names`: those of our own flag.
    """
    guided = [word for word in words if _look_up("taken", word.partition("=")[0]) == "--model"]
    if guided and sum(flag in names for flag in flags) > 1:
        raise Problem(f"{guided[0]} names a second model: give one, with -m.")


def _find_guide(words: Sequence[str]) -> str:
    """Return the guide that `--like` names; empty without one."""
    names = [value for flag, value in pairwise(words) if flag == "--like"]
    names += [word.removeprefix("--like=") for word in words if word.startswith("--like=")]
    return names[-1] if names else ""


def _replace(word: str, options: Collection[str]) -> list[str]:
    """Return an option of a guide as ours, which may be none or several words; any other word as it is."""
    name, equals, value = word.partition("=")
    dashed = name.replace("_", "-") if name.startswith("--") else name
    ours = dashed if dashed in options else _look_up("taken", name)
    if name in options or ours is None:
        return [word]
    replaced = ours.split()
    if not equals:
        return replaced
    return [*replaced[:-1], f"{replaced[-1]}={value}"] if replaced else [value]
