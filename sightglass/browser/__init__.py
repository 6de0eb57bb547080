"""JavaScript that pages and exported files share; join modules into scripts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

BROWSER = Path(__file__).parent
_IMPORT = re.compile(r'^import (?:.* from )?"((?:\.\.?/)+(?:\w+/)*\w+\.js)";\n', re.MULTILINE)


def constants(path: str) -> dict[str, Any]:
    """Return a module's JSON constants by name; `path`: inside the package."""
    text = (BROWSER.parent / path).read_text("utf-8")
    pairs = re.findall(r"^export const (\w+) = (\{.*?\});$", text, re.MULTILINE | re.DOTALL)
    return {name: json.loads(value) for name, value in pairs}


def join(*scripts: Path) -> str:
    """Join scripts and their imports; remove import lines and named exports."""
    texts = (path.read_text("utf-8") for path in modules(*scripts))
    return "\n".join(re.sub(r"^export (?!default\b)", "", _IMPORT.sub("", text), flags=re.MULTILINE) for text in texts)


def modules(*scripts: Path) -> list[Path]:
    """Return scripts with their imports, each once, dependencies first."""
    seen: set[Path] = set()
    paths: list[Path] = []

    def add(path: Path) -> None:
        if path not in seen:
            seen.add(path)
            for name in _IMPORT.findall(path.read_text("utf-8")):
                add(_find_imports(path, name))
            paths.append(path)

    for script in scripts:
        add(script.resolve())
    return paths


def _find_imports(module: Path, name: str) -> Path:
    """Return an imported file's path, also in an installation."""
    outside, _, inside = name.rpartition(f"/{BROWSER.parent.name}/")
    return (BROWSER.parent / inside if outside else module.parent / name).resolve()
