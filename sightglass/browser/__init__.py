"""JavaScript that components share; join modules into scripts."""

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


def join(script: Path) -> str:
    """Join a script and its imports; remove import lines and named exports."""
    texts = (path.read_text("utf-8") for path in modules(script.resolve()))
    return "\n".join(re.sub(r"^export (?!default\b)", "", _IMPORT.sub("", text), flags=re.MULTILINE) for text in texts)


def modules(script: Path) -> list[Path]:
    """Return a script with its imports, each once, dependencies first."""
    names = _IMPORT.findall(script.read_text("utf-8"))
    paths = [path for name in names for path in modules((script.parent / name).resolve())]
    return list(dict.fromkeys([*paths, script]))
