"""Read numbers of labels."""

import math
import re
from collections.abc import Sequence
from typing import Any

from sightglass.evaluation.label_files.rows import LabelError

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def parse_numbers(values: Sequence[Any], count: int = 4) -> list[float]:
    """Return finite numbers; raise LabelError."""
    if len(values) != count:
        raise LabelError(f"a box has {count} numbers, and this one {len(values)}")
    numbers = [number for value in values if (number := to_number(value)) is not None]
    if len(numbers) < count:
        raise LabelError("a coordinate is no number")
    return numbers


def to_number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    # Spreadsheets write decimal commas.
    text = "" if isinstance(value, bool) else str(value).strip().replace(",", ".")
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None
