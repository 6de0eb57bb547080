"""Read files of JSON: one of a tool's own form, or rows of a table."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sightglass.common.errors import Problem, TooManyLabels
from sightglass.common.files import json_keys
from sightglass.common.files.json_keys import RepeatedKeys
from sightglass.evaluation.label_files.opening import LabelFile, decode
from sightglass.evaluation.label_files.rows import OTHER_FORM, LabelError

MAX_TABLES = 10_000_000
"""Lists and tables of a file."""
MAX_KEYS = 20_000_000
"""Keys of a file: COCO's own of 118,000 pictures has eight millions."""
SAMPLE = 1000
"""Entries by which a file's form is told."""


@dataclass(frozen=True)
class JsonContent:
    """What a file of JSON holds."""

    value: Any
    """A table, or the list of its entries; of a file with a value on each line, the list of these."""
    lines: Sequence[int]
    """The number of each entry, or of its line, from 1."""
    contradiction: str = ""
    """Why the first object contradicts itself that gives a key several values; empty without one."""

    @property
    def sample(self) -> list[Any]:
        """The first entries of a list; none of a table."""
        return self.value[:SAMPLE] if isinstance(self.value, list) else []


def read_json(file: LabelFile) -> JsonContent:
    """Return what a file holds.

    Raises Problem for too much and for what is no JSON.
    """
    data = file.read()
    # In memory each takes twenty times its bytes.
    if data.count(b"[") + data.count(b"{") > MAX_TABLES:
        raise TooManyLabels(f"{file.name} holds more than {MAX_TABLES:,} lists and tables: split these labels.")
    if data.count(b":") > MAX_KEYS:
        raise TooManyLabels(f"{file.name} holds more than {MAX_KEYS:,} keys: split these labels.")
    text, _ = decode(data, file.name)
    try:
        value, contradiction = json_keys.load(text)
    except RecursionError as problem:
        raise Problem(f"{file.name} is no JSON of labels: it is nested too deeply.") from problem
    except ValueError:
        return _read_lines(text)
    return JsonContent(value, range(1, len(value) + 1) if isinstance(value, list) else (), contradiction)


def _read_lines(text: str) -> JsonContent:
    lines = [line for line, row in enumerate(text.splitlines(), 1) if row.strip()]
    read = [_parse_line(row) for row in text.splitlines() if row.strip()]
    return JsonContent([value for value, _ in read], lines, next((reason for _, reason in read if reason), ""))


def _parse_line(line: str) -> tuple[Any, str]:
    with contextlib.suppress(ValueError, RecursionError):
        return json_keys.load(line)
    return None, ""


def list_objects(file: LabelFile, content: JsonContent) -> list[tuple[int, Any]]:
    """Return the numbered entries of a list, or of `{file: label}`, as rows of a table; raise Problem for others."""
    rows: list[tuple[int, Any]] = []
    if isinstance(content.value, dict):
        pairs = content.value.pairs if isinstance(content.value, RepeatedKeys) else content.value.items()
        rows = [(line, {"file": name, "label": label}) for line, (name, label) in enumerate(pairs, 1)]
    elif isinstance(content.value, list):
        rows = [*zip(content.lines, content.value, strict=True)]
    if not any(isinstance(row, dict) for _, row in rows):
        expected = "COCO with images, categories and annotations, objects with file and label, or {file: label}"
        raise Problem(f"{file.name} is no JSON of labels: give {expected}, or a file of a tool that the docs name.")
    return rows


def check_keys(file: LabelFile, content: JsonContent) -> None:
    """Raise Problem for a file with an object that gives a key several values."""
    if content.contradiction:
        raise Problem(f"An object of {file.name} contradicts itself ({content.contradiction}): write each key once.")


def as_table(value: Any) -> dict[str, Any]:
    """Return a JSON object; raise LabelError for anything else."""
    if not isinstance(value, dict):
        raise LabelError(OTHER_FORM)
    if reason := json_keys.find_repeated(value):
        raise LabelError(reason)
    return value


def list_tables(value: Any) -> list[dict[str, Any]]:
    """Return the JSON objects in a list, or in an object's values; none of anything else."""
    entries: Iterable[Any] = value if isinstance(value, list) else ()
    if isinstance(value, dict):
        entries = value.values()
    return [entry for entry in entries if isinstance(entry, dict)]
