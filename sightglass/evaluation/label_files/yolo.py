"""Read YOLO's text: an object on each line, in parts of the picture."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from sightglass.evaluation.label_files.opening import decode
from sightglass.evaluation.label_files.rows import LabelError, Row, TrueBox
from sightglass.evaluation.label_files.values import parse_numbers


def list_yolo(file: Path, folder: Path, names: Mapping[int, str]) -> Iterator[Row]:
    picture = file.with_suffix("").relative_to(folder).as_posix()
    yield picture, 0, lambda: None
    text, _ = decode(file.read_bytes(), file.name)
    for line, row in enumerate(text.splitlines(), 1):
        if row.strip():
            yield picture, line, partial(_parse_yolo, row.split(), names)


def _parse_yolo(parts: Sequence[str], names: Mapping[int, str]) -> TrueBox:
    index, *numbers = parts
    if not index.isdecimal() or int(index) not in names:
        raise LabelError(f"class {index[:20]} is not one of the {len(names)} that are named")
    values = parse_numbers(numbers, len(numbers))
    if len(values) == 4:
        x, y, wide, high = values
        box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
    elif len(values) >= 6 and len(values) % 2 == 0:
        # A polygon; its box is around it.
        box = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    else:
        raise LabelError("a box has four numbers after its class, a polygon six or more")
    return TrueBox(names[int(index)], box, relative=True)
