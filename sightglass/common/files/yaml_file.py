"""Read small YAML files, every value as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 2**20
DEEPEST = 8
"""Levels that a file may have: 100,000 end the process inside libyaml before 0.2.6."""


def read_yaml(path: Path) -> Any:
    """Return a YAML file's lists and mappings; all else in it is text as it is written: `no` is "no", and 1 is "1".

    Raises OSError, or ValueError with the reason for what is no YAML, is too large or too deep, or refers to parts of
    itself, since a few such lines can stand for billions.
    """
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES / 1e6:.0f} MB")
    text = raw.decode("utf-8-sig")
    # The base loader makes no objects, and of YAML's many words for yes and no neither.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError("it is nested too deeply")
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it refers to parts of itself")
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as problem:
        # libyaml has a limit of its own since 0.2.6, and reaches it before it tells of the first level.
        if "nesting depth" in (getattr(problem, "problem", None) or ""):
            raise ValueError("it is nested too deeply") from problem
        line = getattr(getattr(problem, "problem_mark", None), "line", None)
        raise ValueError(f"it is no YAML{'' if line is None else f' (line {line + 1})'}") from problem
