"""A model's table as text, and in a models.toml whose other lines stay as they are."""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import ModelProblem
from common.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterator


def relative(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths from where models.toml is, where they lie in its folder."""

    def short(text: str) -> str:
        path, colon, name = text.rpartition(":") if ".py:" in text else (text, "", "")
        return (
            f"{Path(path).relative_to(folder).as_posix()}{colon}{name}" if Path(path).is_relative_to(folder) else text
        )

    weights = table.get("weights", {})
    paths = {key: short(weights[key]) for key in ("path", "labels") if isinstance(weights.get(key), str)}
    arch = {"arch": short(table["arch"])} if isinstance(table.get("arch"), str) else {}
    return {**table, **arch, "weights": {**weights, **paths}}


def text_of(id_: str, table: dict[str, Any]) -> str:
    """The table as TOML: its dicts in tables of their own one level down, and inline below that."""
    flat = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"[model.{_quoted(id_)}]", *(f"{key} = {_toml(value)}" for key, value in flat.items())]
    for key, value in table.items():
        if isinstance(value, dict) and value:
            lines += [f"[model.{_quoted(id_)}.{key}]", *(f"{name} = {_toml(held)}" for name, held in value.items())]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_toml(held)}' for key, held in value.items())} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, (int, float)) else _quoted(str(value))


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else _quoted(key)


@contextmanager
def alone(to: Path) -> Iterator[None]:
    """Nobody else who asks so writes `to` meanwhile. Raises ModelProblem where somebody does for seconds."""
    lock = to.with_name(f".{to.name}.lock")
    for _ in range(200):
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            time.sleep(0.05)
    else:
        raise ModelProblem(f"{to.name} is being written by another: wait, or remove {lock} if nothing runs.")
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def written(to: Path, text: str) -> None:
    """The whole file at once."""
    with atomic_write(to) as draft:
        draft.write_text(text, "utf-8")


def with_table(to: Path, id_: str, text: str, *, force: bool) -> str:
    """The whole file with the table in it; raises ModelProblem where there is one already, or the file is broken."""
    import tomllib

    try:
        before = to.read_text("utf-8") if to.exists() else ""
        there = tomllib.loads(before).get("model", {})
    except (OSError, ValueError) as problem:
        raise ModelProblem(f"{to} cannot be read ({problem}): mend it first.") from problem
    if id_ in there:
        if not force:
            raise ModelProblem(
                f"{to.name} has a model {id_} already: give another --name, or --force to write over it."
            )
        # From its header to the next one that is not below it.
        named = rf"(?:{re.escape(id_)}|{re.escape(_quoted(id_))}|'{re.escape(id_)}')"
        header = re.compile(rf"^[ \t]*\[[ \t]*model[ \t]*\.[ \t]*{named}[ \t]*(?:\..*)?\][^\n]*\n?", re.MULTILINE)
        kept, place = [], 0
        other = re.compile(r"^[ \t]*\[", re.MULTILINE)
        while (found := header.search(before, place)) is not None:
            kept.append(before[place : found.start()])
            end = other.search(before, found.end())
            # Comments right above the next table are that table's.
            place = _above(before, found.end(), end.start()) if end else len(before)
        before = "".join([*kept, before[place:]])
        if id_ in tomllib.loads(before).get("model", {}):
            raise ModelProblem(f"{to.name} has {id_} in a form that cannot be written over: take it out by hand.")
    return f"{before.rstrip()}\n\n{text}" if before.strip() else text


def _above(text: str, start: int, end: int) -> int:
    lines = text[start:end].splitlines(keepends=True)
    while lines and lines[-1].lstrip().startswith("#"):
        end -= len(lines.pop())
    return end
