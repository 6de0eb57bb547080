"""Read files of JSON: COCO, or rows of a table."""

import contextlib
import json
from pathlib import Path
from typing import Any

from sightglass.common.errors import Problem
from sightglass.evaluation.label_files.opening import decode

MAX_TABLES = 10_000_000
"""Lists and tables of a file of COCO."""
MAX_KEYS = 20_000_000
"""Keys of a file of JSON: COCO's own of 118,000 pictures has eight millions."""


def read_json(path: Path) -> dict[str, Any] | list[tuple[int, Any]]:
    """Return a COCO table; or the numbered values of a list, of lines, or of `{file: label}`."""
    data = path.read_bytes()
    # In memory each takes twenty times its bytes.
    if data.count(b"[") + data.count(b"{") > MAX_TABLES:
        raise Problem(f"{path.name} holds more than {MAX_TABLES:,} lists and tables: split these labels.")
    if data.count(b":") > MAX_KEYS:
        raise Problem(f"{path.name} holds more than {MAX_KEYS:,} keys: split these labels.")
    text, _ = decode(data, path.name)
    try:
        content = json.loads(text)
    except RecursionError as problem:
        raise Problem(f"{path.name} is no JSON of labels: it is nested too deeply.") from problem
    except ValueError:
        rows = [(line, _parse_line(row)) for line, row in enumerate(text.splitlines(), 1) if row.strip()]
    else:
        if isinstance(content, dict) and {"images", "annotations"} & {*content}:
            return content
        if isinstance(content, dict):
            content = [{"file": file, "label": label} for file, label in content.items()]
        rows = [*enumerate(content if isinstance(content, list) else (), 1)]
    if not any(isinstance(row, dict) for _, row in rows):
        expected = "COCO with images, categories and annotations, objects with file and label, or {file: label}"
        raise Problem(f"{path.name} is no JSON of labels: give {expected}.")
    return rows


def _parse_line(line: str) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(line)
