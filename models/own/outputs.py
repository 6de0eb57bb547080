"""Read and write units and ranges of outputs as typed lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sightglass.common.errors import ModelProblem
from sightglass.common.typed_text import line as read_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.models.inspect import Toml
    from sightglass.models.spec import OutputTable

LONGEST = 80
"""Letters of a name or a unit."""
NO_UNIT = "–"
MINUS = "\N{MINUS SIGN}"


def line_of(output: OutputTable) -> str:
    """Return an output as it is typed: `yaw, °, -90, 90`."""
    ends = [f"{end:g}" for end in output.range or ()]
    return ", ".join(filter(None, (output.name, output.unit or (NO_UNIT if ends else ""), *ends)))


def read_lines(lines: Sequence[str]) -> list[Toml]:
    """Return `weights.outputs` from lines of name, unit, least and largest value, of which all but the name may lack.

    Raises ModelProblem for a line that is not understood.
    """
    return [_read(line) for line in lines]


def _read(line: str) -> Toml:
    name, *more = (part.strip() for part in line.split(","))
    unit, ends = (more[0] if more else ""), more[1:]
    try:
        numbers = [float(end.replace(MINUS, "-")) for end in ends]
    except ValueError:
        numbers = [math.nan]
    ordered = len(numbers) == 2 and all(map(math.isfinite, numbers)) and numbers[0] < numbers[1]
    if not name or (numbers and not ordered):
        raise ModelProblem(f"{line[:LONGEST]!r} is not understood: write name, unit, least, largest value.")
    row: Toml = {"name": read_line(name, LONGEST, "The name")}
    if unit not in ("", NO_UNIT):
        row["unit"] = read_line(unit, LONGEST, "The unit")
    return {**row, "range": numbers} if numbers else row
