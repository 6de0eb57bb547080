"""The pages that a reader can follow: their blocks, run in order in one empty folder, with nothing supplied.

README.md and every page of the docs is one. Of its blocks these are run:

- ```toml whose first line is `# models.toml`: written under that name (a second one is added to it).
- ```python whose first line is `# name.py`: written under that name. Any other ```python runs, all of a page in one
  namespace; an `assert` there is checked.
- ```console: each line `$ sightglass ...` runs and must end with 0. What stands below a call is not compared.

A block of these kinds that cannot run has its reason in the line above it, `<!-- not run: it needs a cluster -->`.
Other kinds are only read. `<!-- needs: keras onnx -->` names modules without which a page is skipped,
`<!-- weights: yolo11n.pt -->` files of SIGHTGLASS_WEIGHTS, which are then in the folder too.

`python -m tests.examples docs/own-models.md yolo11n.pt` runs pages, with files in their folders, and nothing installed
but what running needs.
"""

import contextlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ELSEWHERE = {"cli.md": "unit/cli/test_cli.py", "api.md": "unit/api/test_documentation.py"}
"""Pages whose blocks another test runs, which also compares what they print or serves what they ask."""
SERVERS = ("dashboard", "serve", "mcp")
"""Verbs that run until they are stopped."""
_BLOCK = re.compile(
    r"^(?: *<!-- not run: (?P<reason>[^\n]+) -->\n)?"
    r"(?P<indent> *)```(?P<kind>toml|python|console)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_CALL = "$ sightglass "


@dataclass(frozen=True)
class Block:
    """A block of a page that can be run."""

    kind: str
    text: str
    line: int
    """Of its first line in the page, from 0."""
    reason: str | None
    """Why it is not run, where it is not."""


def pages() -> list[Path]:
    """Every page that says how something is done."""
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def followed() -> list[Path]:
    """The pages that are run here, block by block."""
    return [page for page in pages() if page.name not in ELSEWHERE and any(not block.reason for block in blocks(page))]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that can be run, in order."""
    text = page.read_text("utf-8")
    return [
        Block(found["kind"], found["text"], text[: found.start("text")].count("\n"), found["reason"])
        for found in _BLOCK.finditer(text)
    ]


def named(what: str, page: Path) -> list[str]:
    """Return the modules (`needs`) or files (`weights`) that a page names."""
    lines = re.findall(rf"^<!-- {what}: (.*) -->$", page.read_text("utf-8"), re.MULTILINE)
    return [name for line in lines for name in line.split()]


def lacking(page: Path) -> list[str]:
    """The modules that a page needs and that are not here."""
    return [name for name in named("needs", page) if find_spec(name) is None]


def run(page: Path, files: Iterable[str | Path] = ()) -> None:
    """Follow a page with these files in its folder; raises what a block raises, with the page's own line in the trace.

    Raises AssertionError for a block that would not do anything.
    """
    with folder():
        for file in files:
            shutil.copy(file, Path(file).name)
        for _ in steps(page):
            pass


def steps(page: Path) -> Iterator[Block]:
    """Follow a page in the current folder; yields each block after it ran."""
    namespace: dict[str, object] = {"__name__": "example"}
    for block in blocks(page):
        if block.reason is None:
            _follow(block, namespace, f"{page.name}, block after line {block.line}")
            yield block


def _follow(block: Block, namespace: dict[str, object], where: str) -> None:
    first = block.text.partition("\n")[0]
    if block.kind == "toml":
        assert first == "# models.toml", f"{where}: begin it with # models.toml, or say why it is not run"
        with Path("models.toml").open("a", encoding="utf-8") as file:
            file.write(block.text)
    elif block.kind == "python" and (named := re.fullmatch(r"# (\w+\.py)", first)):
        Path(named[1]).write_text(block.text, "utf-8")
    elif block.kind == "python":
        exec(compile("\n" * block.line + block.text, where, "exec"), namespace)
    else:
        from sightglass.cli import main

        calls = [line for line in block.text.splitlines() if line.startswith("$ ")]
        assert calls, f"{where}: begin each call with $, or say why it is not run"
        for call in calls:
            assert call.startswith(_CALL), f"{where}: {call}"
            code = main(shlex.split(call.removeprefix(_CALL), comments=True))
            assert code == 0, f"{where}: {call} ended with {code}"


def of_help() -> list[str]:
    """Return every example of every verb's --help, each once."""
    import typer

    from sightglass.cli import app

    program = typer.main.get_command(app)
    verbs = [*program.commands.values(), *program.commands["models"].commands.values()]
    lines = [line for verb in verbs for line in (verb.epilog or "").splitlines()]
    calls = [line.strip().replace("\\[", "[") for line in lines if "sightglass " in line]
    return [line for line in dict.fromkeys(calls) if line.split("sightglass ")[1].split()[0] not in SERVERS]


@contextlib.contextmanager
def folder() -> Iterator[None]:
    """An empty folder as the current one, in which models.toml and modules are looked for.

    Afterwards nothing of it is left in the process: not its modules, and not the models that were loaded from it.
    """
    from sightglass.explain.evidence.loaded_model import MODEL_CACHE
    from sightglass.explain.explainer import EVIDENCE

    before, modules, named = Path.cwd(), set(sys.modules), os.environ.pop("SIGHTGLASS_MODELS", None)
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        sys.path.insert(0, empty)
        MODEL_CACHE.free()
        try:
            yield
        finally:
            os.chdir(before)
            sys.path.remove(empty)
            if named is not None:
                os.environ["SIGHTGLASS_MODELS"] = named
            for name in set(sys.modules) - modules:
                if str(getattr(sys.modules[name], "__file__", "")).startswith(empty):
                    del sys.modules[name]
            MODEL_CACHE.free()
            EVIDENCE.clear()


def _reason(page: Path, files: list[Path]) -> str | None:
    """Return why a page is not run here; None for one that is."""
    without = lacking(page)
    if without:
        return f"it needs {', '.join(without)}"
    if page.name in ELSEWHERE:
        return f"tests/{ELSEWHERE[page.name]} runs it"
    missing = {*named("weights", page)} - {file.name for file in files}
    return f"name a file {', '.join(missing)}" if missing else None


if __name__ == "__main__":
    import sightglass

    chosen = [Path(name).absolute() for name in sys.argv[1:] if name.endswith(".md")]
    given = [Path(name).absolute() for name in sys.argv[1:] if not name.endswith(".md")]
    for page in chosen or followed():
        reason = _reason(page, given)
        if reason is None:
            run(page, given)
        print(f"{page.name}: {f'not run: {reason}' if reason else f'every block ran with {sightglass.__file__}'}")
