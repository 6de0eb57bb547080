"""Read numbers, marks and shapes of labels."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sightglass.common.errors import UnclearLabels
from sightglass.evaluation.label_files.options import ask_which
from sightglass.evaluation.label_files.rows import LabelError
from sightglass.models.geometry import Box

CROWD = frozenset({"iscrowd", "crowd", "isgroupof", "groupof", "isgroup"})
"""What formats call a box around many objects: COCO, Open Images."""
IGNORED = frozenset({"difficult", "isdifficult", "ignore", "ignored", "isignore", "isignored"})
"""What formats call an object that is not to be found: Pascal VOC, COCO."""
CONFIDENCE = ("confidence",)
"""What Open Images calls the mark of a label: 0 where people saw that the class is not there."""
SET = ("true", "t", "yes", "y", "x")
"""Words of a mark that is set."""
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
OTHER = {".": ",", ",": "."}
"""The mark of thousands, by that of decimals."""
_STATED = {"comma": ",", "point": "."}
MAX_SIDE = 65_535
"""Pixels of a side of a picture, which no usual format has more of."""
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}([.,])\d{3}")
"""A number whose mark may be that of decimals or of thousands: `1,024`."""


def parse_numbers(values: Sequence[Any], count: int = 4) -> list[float]:
    """Return finite numbers; raise LabelError."""
    return POINT.parse(values, count)


def to_number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    # Spreadsheets write decimal commas.
    text = "" if isinstance(value, bool) else str(value).strip().replace(",", ".")
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class NumberStyle:
    """How the numbers of a table are written."""

    decimal: str = "."
    """The mark of decimals: a point or a comma."""
    grouped: bool = False
    """Whether the other mark is that of thousands."""
    inferred: bool = field(default=False, compare=False)
    """Whether only a number without a mark tells that of decimals."""

    def describe(self) -> str:
        """Return how numbers are written; empty for the plainest way."""
        marks = {".": "points", ",": "commas"}
        thousands = f"; {marks[OTHER[self.decimal]]} between thousands" if self.grouped else ""
        return f"decimal {marks[self.decimal]}{thousands}" if self.inferred or self != POINT else ""

    def parse(self, values: Sequence[Any], count: int = 4) -> list[float]:
        """Return finite numbers; raise LabelError."""
        if len(values) != count:
            raise LabelError(f"a box has {count} numbers, and this one {len(values)}")
        return [self.parse_one(value) for value in values]

    def parse_one(self, value: Any) -> float:
        """Return a finite number; raise LabelError."""
        text = str(value).strip()
        other = OTHER[self.decimal]
        if self.grouped:
            text = text.replace(other, "")
        elif other in text and _GROUPED.fullmatch(text):
            raise LabelError(f"{text} may have a mark of decimals or of thousands: say which ({ask_which('decimal')})")
        number = to_number(value if isinstance(value, bool) else text)
        if number is None:
            raise LabelError("a coordinate is no number")
        return number


POINT = NumberStyle()


def find_style(cells: Iterable[Any], name: str, stated: str = "", *, separated: bool = True) -> NumberStyle:
    """Return how numbers are written, by all of them.

    `name`: of the file; `stated`: `comma` or `point`, where a person says which; `separated`: by commas, so that a
    point is that of decimals. Raises Problem where it is open.
    """
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    marked = [text for text in texts if re.search("[.,]", text)]
    decimal = _STATED.get(stated) or _find_common_mark(marked)
    if decimal:
        return NumberStyle(decimal, grouped=any(OTHER[decimal] in text for text in marked))
    unclear = list(filter(_GROUPED.fullmatch, marked))
    whole = list(filter(str.isdigit, texts))
    commas = any("," in text for text in unclear)
    # A point is that of thousands where others have none, as those below 1000 would.
    points = bool(unclear and whole) and not separated
    if not (commas or points):
        return POINT
    # A file with 1500 would have written 1,500.
    if max(map(len, whole), default=0) > 3:
        return NumberStyle("," if commas else ".", inferred=True)
    raise UnclearLabels(f"{name} has numbers such as {unclear[0]}: say what their mark is ({ask_which('decimal')}).")


def _find_common_mark(texts: Sequence[str]) -> str:
    """Return the mark of decimals that clear numbers have; empty where none is clear or they differ."""
    found = {mark for text in texts if (mark := _find_decimal(text))}
    return found.pop() if len(found) == 1 else ""


def _find_decimal(text: str) -> str:
    """Return the mark of decimals in a number; empty where it may be that of thousands."""
    marks = [letter for letter in text if letter in ",."]
    if len(set(marks)) == 2:
        return marks[-1]
    if len(marks) > 1:
        return "." if marks[0] == "," else ","
    return "" if _GROUPED.fullmatch(text) else marks[0]


def is_set(value: Any) -> bool:
    """Return whether a mark such as `iscrowd` is set: any number but 0, a word of `SET`; of ticked boxes, one."""
    if isinstance(value, dict):
        return any(map(is_set, value.values()))
    number = to_number(value)
    return number != 0 if number is not None else str(value).strip().lower() in SET


def spell_mark(name: str) -> str:
    """Return the name of a mark as `CROWD` and `IGNORED` have it."""
    return re.sub("[^a-z]", "", name.lower())


def find_marks(marks: Mapping[str, Any] | None) -> tuple[bool, bool]:
    """Return whether an object is a crowd, and whether it is not to be found, by marks of any format."""
    named = {spell_mark(str(name)) for name, value in (marks or {}).items() if is_set(value)}
    return bool(named & CROWD), bool(named & IGNORED)


def box_around(xs: Sequence[float], ys: Sequence[float]) -> Box:
    """Return the box around points; raise LabelError without any."""
    if not xs or not ys:
        raise LabelError("it has no points")
    return min(xs), min(ys), max(xs), max(ys)


def box_around_turned(box: Box, degrees: float, pivot: tuple[float, float]) -> Box:
    """Return the box around a box that is turned clockwise about a point."""
    if not degrees:
        return box
    x0, y0, x1, y1 = box
    cosine = math.cos(math.radians(degrees))
    sine = math.sin(math.radians(degrees))
    corners = [(x - pivot[0], y - pivot[1]) for x in (x0, x1) for y in (y0, y1)]
    xs = [pivot[0] + x * cosine - y * sine for x, y in corners]
    ys = [pivot[1] + x * sine + y * cosine for x, y in corners]
    return box_around(xs, ys)


def read_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Return the size of a picture that labels state; None for anything else."""
    sides = [to_number(_join_thousands(side)) or 0 for side in (width, height)]
    if max(sides) > MAX_SIDE:
        # `400,000` has decimals, as spreadsheets write them.
        sides = [to_number(side) or 0 for side in (width, height)]
    if min(sides) < 1:
        return None
    return int(sides[0]), int(sides[1])


def _join_thousands(side: Any) -> Any:
    """Return a number of pixels without a mark of thousands: it is whole, so that it has no other."""
    text = str(side).strip()
    return re.sub("[.,]", "", text) if isinstance(side, str) and _GROUPED.fullmatch(text) else side
