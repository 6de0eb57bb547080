"""The calls in docs/cli.md with what they answer: `python -m tests.transcripts` writes the answers anew.

A block begins with ```console and holds calls, `$ ...`, each followed by what it printed. All run one after the other
in one empty folder. A call of another program, `$ mkdir photos`, is a shell's.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from sightglass.explain.comparison.times import NOT_MEASURABLE
from tests import examples

DOCS = Path(__file__).parents[1] / "docs/cli.md"
COLUMNS = "100"
_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
_PROGRAM, _SHELL = "$ sightglass ", "$ "
_TIME = rf"\d+(\.\d+)?[  ](ms|s|min)\b|{NOT_MEASURABLE}"
_NUMBER = r"(< )?[-–]?\d[\d.,]*"


def calls(text: str) -> list[str]:
    """Every call in the docs, in order."""
    return [line for block in _BLOCK.findall(text) for line in block.splitlines() if line.startswith("$ ")]


def answered(text: str, run: Callable[[list[str]], bool] = lambda words: True) -> str:
    """The docs with the answers of this machine; calls whose words `run` refuses keep theirs."""

    def block(found: re.Match[str]) -> str:
        parts = re.split(r"(?m)^(?=\$ )", found[0])
        return "".join(_answered(part) if run(part.partition("\n")[0].split()) else part for part in parts if part)

    # An empty folder, and a terminal of one width, whatever this one is.
    terminal = {"COLUMNS": COLUMNS, "TERMINAL_WIDTH": COLUMNS, "NO_COLOR": "1"}
    with examples.folder(), patch.dict(os.environ, terminal):
        os.environ.pop("FORCE_COLOR", None)
        return _BLOCK.sub(block, text)


def _answered(part: str) -> str:
    call = part.splitlines()[0]
    if not call.startswith(_PROGRAM):
        subprocess.run(["sh", "-euc", call.removeprefix(_SHELL)], check=True)
        return part
    output = io.StringIO()
    from sightglass.cli import main

    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = main(shlex.split(call.removeprefix(_PROGRAM)))
    lines = [line.rstrip() for line in output.getvalue().splitlines()]
    lines = [line for i, line in enumerate(lines) if line or (0 < i < len(lines) - 1 and lines[i - 1])]
    return "\n".join([call, *lines, *([f"(exit code {code})"] if code else []), ""])


def comparable(text: str) -> str:
    """Without what differs from machine to machine: numbers, the widths that go with them, how busy it was."""
    text = re.sub(_NUMBER, "0", re.sub(_TIME, "0", text.replace("\N{NO-BREAK SPACE}", " ")))
    return re.sub(r"[ ─]+", " ", re.sub(r"(?m)[ ─]+$", "", text))


if __name__ == "__main__":
    DOCS.write_text(answered(DOCS.read_text("utf-8")), "utf-8")
