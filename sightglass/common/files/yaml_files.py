"""Read YAML from untrusted files, without types, references or code."""

from pathlib import Path
from typing import Any

import yaml

SUFFIXES = (".yaml", ".yml")
MAX_BYTES, MAX_DEPTH = 2**20, 100
"""Bytes of a file, and levels of its lists and mappings: libyaml's recursion has no limit of its own."""
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""Makes texts, lists and mappings alone; in Python, without libyaml, it takes ten times as long."""


def read_yaml(path: Path) -> Any:
    """Return a YAML file's lists and mappings; all else in it is text as it is written: `no` is "no", and 1 is "1".

    Raises OSError, or ValueError with the reason for what is no YAML, is too large, or refers to parts of itself.
    """
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES / 1e6:.0f} MB")
    text, depth = raw.decode("utf-8-sig"), 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            # A few lines of references can stand for billions.
            if depth > MAX_DEPTH or isinstance(event, yaml.AliasEvent):
                raise ValueError("it is nested too deeply, or refers to parts of itself")
        return yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError as problem:
        line = getattr(getattr(problem, "problem_mark", None), "line", None)
        raise ValueError(f"it is no YAML{'' if line is None else f' (line {line + 1})'}") from problem
