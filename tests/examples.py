"""The example that a page of the docs is: its blocks, run in order in one folder, as a reader would follow it.

Of a page these blocks count, and no others:

- ```toml whose first line is `# models.toml`: written under that name (a second one is added to it).
- ```python whose first line is `# name.py`: written under that name. Any other ```python runs, all of a page in one
  namespace; an `assert` there is checked.
- ```console: each line `$ python -m sightglass ...` runs and must end with 0. What stands below a call is not compared.
- ```text and others are only read.

A page that has a line `<!-- example -->` is one such example. `<!-- needs: keras onnx -->` names modules without which
it is skipped, `<!-- weights: yolo11n.pt -->` files of SIGHTGLASS_WEIGHTS, which are then in the folder too. In the
folder there are bus.jpg and zidane.jpg; whatever else it needs, the page makes itself.

`python -m tests.examples docs/own-models.md` runs pages with nothing installed but what running needs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tests.weights import find

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"^```(?P<kind>toml|python|console)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_CALL = "$ python -m sightglass "


def pages() -> list[Path]:
    """Every page of the docs that is an example."""
    return [page for page in sorted(DOCS.glob("*.md")) if "\n<!-- example -->\n" in page.read_text("utf-8")]


def lacking(page: Path) -> list[str]:
    """The modules and weights that a page needs and that are not here."""
    modules = [name for name in named("needs", page) if find_spec(name) is None]
    return modules + [name for name in named("weights", page) if find(name) is None]


def named(what: str, page: Path) -> list[str]:
    """Return the modules (`needs`) or files (`weights`) that a page names."""
    lines = re.findall(rf"^<!-- {what}: (.*) -->$", page.read_text("utf-8"), re.MULTILINE)
    return [name for line in lines for name in line.split()]


def run(page: Path) -> None:
    """Follow a page; raises what a block of it raises, with the page's own line in the trace."""
    text = page.read_text("utf-8")
    namespace: dict[str, object] = {"__name__": "example"}
    wanted = filter(None, map(find, named("weights", page)))
    with _folder():
        for file in wanted:
            shutil.copy(file, file.name)
        for found in _BLOCK.finditer(text):
            line = text[: found.start("text")].count("\n")
            _follow(found["kind"], found["text"], namespace, f"{page.name}, block after line {line}", line)


def _follow(kind: str, block: str, namespace: dict[str, object], where: str, line: int) -> None:
    first = block.partition("\n")[0]
    if kind == "toml" and first == "# models.toml":
        with Path("models.toml").open("a", encoding="utf-8") as file:
            file.write(block)
    elif kind == "python" and (named := re.fullmatch(r"# (\w+\.py)", first)):
        Path(named[1]).write_text(block, "utf-8")
    elif kind == "python":
        exec(compile("\n" * line + block, where, "exec"), namespace)
    elif kind == "console":
        from sightglass.cli import main

        for call in block.splitlines():
            if call.startswith("$ "):
                assert call.startswith(_CALL), f"{where}: {call}"
                code = main(shlex.split(call.removeprefix(_CALL)))
                assert code == 0, f"{where}: {call} ended with {code}"


@contextlib.contextmanager
def _folder() -> Iterator[None]:
    """A new folder with two photographs, as the current one, in which models.toml and modules are looked for.

    Afterwards nothing of it is left in the process: not its modules, and not the models that were loaded from it.
    """
    from sightglass.explain.evidence.resident import RESIDENCY
    from sightglass.explain.explainer import EVIDENCE

    found = find_spec("ultralytics")
    assert found is not None
    assert found.submodule_search_locations
    pictures = Path(found.submodule_search_locations[0], "assets")
    before, modules, named = Path.cwd(), set(sys.modules), os.environ.pop("SIGHTGLASS_MODELS", None)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("bus.jpg", "zidane.jpg"):
            shutil.copy(pictures / name, folder)
        os.chdir(folder)
        sys.path.insert(0, folder)
        RESIDENCY.free()
        try:
            yield
        finally:
            os.chdir(before)
            sys.path.remove(folder)
            if named is not None:
                os.environ["SIGHTGLASS_MODELS"] = named
            for name in set(sys.modules) - modules:
                if str(getattr(sys.modules[name], "__file__", "")).startswith(folder):
                    del sys.modules[name]
            RESIDENCY.free()
            EVIDENCE.clear()


if __name__ == "__main__":
    for name in sys.argv[1:] or map(str, pages()):
        run(Path(name))
        print(f"{name}: every block ran")
