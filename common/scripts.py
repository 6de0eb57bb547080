"""Join JavaScript modules into one script, for components in a page and for pages that are one file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def joined(folder: Path, modules: Sequence[str]) -> str:
    """Join modules, given by their paths from the folder; cut their imports and all exports but the default one."""
    parts = []
    for name in modules:
        text = (folder / name).read_text("utf-8")
        text = re.sub(r'^import .* from "(?:\.\.?/)+(?:\w+/)*\w+\.js";\n', "", text, flags=re.MULTILINE)
        parts.append(re.sub(r"^export (?!default\b)", "", text, flags=re.MULTILINE))
    return "\n".join(parts)
