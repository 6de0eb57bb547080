"""Read person and camera from file names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from sightglass.common.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.picture.item import Item

FOLDERS = "folders"
"""Name of the scheme in which a picture's folder is the person; no cameras."""
EXAMPLE = r"(?P<person>\d+)_(?P<camera>\d+)"


@dataclass(frozen=True, slots=True)
class Identified:
    """A picture with its person, and its camera where the name says it."""

    item: Item
    person: str
    camera: str | None


@dataclass(frozen=True, slots=True)
class Scheme:
    """How names tell persons: a pattern with the named groups `person` and `camera`, searched in the path below the
    source; None: the folder's name, or the label in a list."""

    name: str
    pattern: re.Pattern[str] | None
    junk: str | None = None
    """Person of pictures to ignore."""
    nobody: str | None = None
    """Person of distractors: wrong for every query, and never a query."""
    numbers: bool = False
    """Whether persons are numbers, so that 2 and 0002 are one."""

    def identify(self, item: Item) -> tuple[str, str | None] | None:
        """Return a picture's person and camera; None where its name does not say who it is."""
        if self.pattern is None:
            return None if item.label is None else (item.label, None)
        if (found := self.pattern.search(item.key)) is None or not found["person"]:
            return None
        named = found.groupdict()
        person = str(int(named["person"])) if self.numbers else named["person"]
        return person, named.get("camera")


SCHEMES = MappingProxyType(
    {
        # 0002_c1s1_000451_03.jpg; DukeMTMC-reID and VeRi-776 have names of the same form.
        "market1501": Scheme(
            "market1501", re.compile(r"(?:^|/)(?P<person>-?\d+)_c(?P<camera>\d+)"), "-1", "0", numbers=True
        ),
        # 0000_000_01_0303morning_0008_0.jpg, where person 0 is a person.
        "msmt17": Scheme("msmt17", re.compile(r"(?:^|/)(?P<person>\d+)_\d+_(?P<camera>\d+)_"), numbers=True),
        # anna_1.jpg
        "prefix": Scheme("prefix", re.compile(r"(?:^|/)(?P<person>[^_/]+)_[^/]*$")),
    }
)


def parse(names: str) -> Scheme:
    r"""Return the scheme of a name in SCHEMES, of `folders`, or of a regular expression.

    Raises ModelProblem where it is none of these, or has no group `person`.

        parse(r"(?P<person>\d+)_(?P<camera>\d+)")
    """
    if names in SCHEMES:
        return SCHEMES[names]
    if names == FOLDERS:
        return Scheme(names, None)
    try:
        pattern = re.compile(names)
    except re.error as error:
        raise ModelProblem(f"The names {names!r} are no regular expression ({error}): try '{EXAMPLE}'.") from error
    if "person" not in pattern.groupindex:
        known = ", ".join((*SCHEMES, FOLDERS))
        raise ModelProblem(
            f"The names {names!r} have no group (?P<person>…): give {known} or an expression such as '{EXAMPLE}'."
        )
    return Scheme(names, pattern)


def guess(items: Sequence[Item]) -> Scheme:
    """Return the scheme that fits every picture: Market-1501's names, a folder per person, or the person before a `_`.

    Raises ModelProblem where none does, or all pictures would show one person.
    """
    for scheme in (SCHEMES["market1501"], Scheme(FOLDERS, None), SCHEMES["prefix"]):
        named = [scheme.identify(item) for item in items]
        if len({one[0] for one in named if one is not None}) > 1 and None not in named:
            return scheme
    raise ModelProblem(
        "The file names do not say who is shown: give --names market1501, or an expression such as "
        f"--names '{EXAMPLE}'."
    )


def identify(items: Sequence[Item], scheme: Scheme) -> tuple[list[Identified], list[str]]:
    """Return the pictures with their persons, and the keys of those whose names do not say who they are."""
    found, unnamed = [], []
    for item in items:
        if (named := scheme.identify(item)) is None:
            unnamed.append(item.key)
        else:
            found.append(Identified(item, *named))
    return found, unnamed
