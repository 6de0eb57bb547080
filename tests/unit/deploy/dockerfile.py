"""Read the Dockerfile: its instructions, joined over continued lines."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[3]


def instructions(path: Path = ROOT / "Dockerfile") -> list[tuple[str, str]]:
    """Return each instruction with what follows it."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def copied() -> list[tuple[Path, str]]:
    """Return the files and folders that are copied from the context to the image, with where each goes below /app."""
    found = []
    for word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            *sources, target = shlex.split(rest)
            for source in sources:
                paths = sorted(ROOT.glob(source))
                assert paths, f"COPY {source}: there is no such file"
                found += [(path, path.name if target == "./" else target) for path in paths]
    return found
