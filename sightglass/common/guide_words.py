"""Translate the words of the guides that users come from, as listed in `guide_words.toml`."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from sightglass.common.errors import Problem

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@cache
def guides() -> Mapping[str, Mapping[str, Any]]:
    """Return the table's sections of each guide, by its name for `--like`."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


@cache
def _section(section: str) -> Mapping[str, str]:
    """Return the words of a section of all guides, each with ours."""
    rows = [row for guide in guides().values() for row in guide.get(section, {}).items()]
    return {word: ours for names, ours in rows for word in names.split(", ")}


def answer(word: str) -> str | None:
    """Return the sentence that explains a guide's word, or None."""
    here = _LINK.sub(r"docs/\1", _section("here").get(word, ""))
    return f"{word}: {here}." if here not in ("", "the same") else None


def verb_first(args: Sequence[str], verbs: Collection[str], flags: Collection[str]) -> list[str]:
    """Return a command line with its verb in front; a guide's script becomes the verb that it stands for.

    `verbs` are those that are known, `flags` the options without a value. The verb may stand after options.
    """
    scripts = _section("verbs")
    for index, word in enumerate(args):
        if word.startswith("-") or (index > 0 and _takes_value(args[index - 1], flags)):
            continue
        rest, script = [*args[:index], *args[index + 1 :]], word.rpartition("/")[2]
        if script in scripts:
            return [scripts[script], *rest] if scripts[script] else verb_first(rest, verbs, flags)
        if index == 0 or word in verbs:
            return [word, *rest]
    return list(args)


def _takes_value(word: str, flags: Collection[str]) -> bool:
    """Return whether a word is an option whose value is the next word, unlike `--top-k=3` and `-k3`."""
    alone = word.startswith("-") and "=" not in word and (len(word) < 3 or word[1] == "-")
    return alone and len(_section("taken").get(word, word).split()) < 2 and word.replace("_", "-") not in flags


def translate(args: Sequence[str], options: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a verb's words with the guides' options replaced by ours.

    `options`: those that the verb has, each with all of its names. `--like NAME` adds a guide's defaults, without the
    options that are given or that the verb lacks. Raises Problem for an unknown guide and a second model.
    """
    end = list(args).index("--") if "--" in args else len(args)
    ours = [part for word in args[:end] for part in _replace(word, options)]
    flags = [word.partition("=")[0] for word in ours]
    models = options.get("--model", ())
    guided = [word for word in args[:end] if _section("taken").get(word.partition("=")[0]) == "--model"]
    if guided and sum(map(models.count, flags)) > 1:
        raise Problem(f"{guided[0]} names a second model: give one, with -m.")
    names = [value for flag, value in pairwise(ours) if flag == "--like"]
    names += [word.removeprefix("--like=") for word in ours if word.startswith("--like=")]
    if not names or "--like" not in options:
        return [*ours, *args[end:]]
    if names[-1] not in guides():
        raise Problem(f"--like is {names[-1]}: use {', '.join(guides())}.")
    present = {name for flag in flags for name in options.get(flag, ())}
    added = [pair for pair in guides()[names[-1]]["like"].items() if pair[0] in options and pair[0] not in present]
    return [*(part for pair in added for part in pair if part), *ours, *args[end:]]


def _replace(word: str, options: Collection[str]) -> list[str]:
    """Return an option of a guide as ours, which may be none or several words; any other word as it is."""
    replacements = _section("taken")
    name, equals, value = word.partition("=")
    dashed = name.replace("_", "-") if name.startswith("--") else name
    if name in options or (dashed not in options and name not in replacements):
        return [word]
    replaced = [dashed] if dashed in options else replacements[name].split()
    if not equals:
        return replaced
    return [*replaced[:-1], f"{replaced[-1]}={value}"] if replaced else [value]
