"""The docs name what is there, and every block of a page runs, in order, with an installed wheel."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import examples, weights, wheel
from tests.packages import ROOT

FENCES = re.compile(r"^ *```(?!text$|json$|sh$|yaml$|ini$|nginx$|toml$|python$|console$|$)(.*)$", re.MULTILINE)
"""Blocks of any other kind: another spelling of a kind that runs would not be run."""
RELEASE = {"exported", "from-pytorch-grad-cam"}
"""Pages that take a quarter of a minute and more."""


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_are_named_are_there(page: str) -> None:
    for path in re.findall(r"`([\w.]+/[\w./]*)[`:]", (ROOT / page).read_text("utf-8")):
        assert "NAME" in path or (ROOT / path).exists(), path


TEST = re.compile(r"tests/[\w/]+(?:\.py)?(?:::\w+)?")
"""A test as a page names it."""
COMMAND = re.compile(r"`(?:python -m (benchmarks) (\w+)|(make) (\w+)|(uv) (pip))\b")
"""Another command that shows what a page promises."""
UNPROMISING = {"Security", "Hosting", "Without a container", "A copy, and a new version"}
"""Sections of introductions and instructions alone."""


def is_test(name: str) -> bool:
    path, _, function = name.partition("::")
    file = ROOT / path
    if not function:
        return file.exists()
    return file.is_file() and f"def {function}(" in file.read_text("utf-8")


def is_command(cell: str) -> bool:
    found = COMMAND.search(cell)
    if found is None:
        return cell == "the same"
    tool, name = (part for part in found.groups() if part)
    written = {"benchmarks": ("benchmarks/__main__.py", f'"{name}": Command('), "make": ("Makefile", f"\n{name}:")}
    if tool not in written:
        return True
    file, text = written[tool]
    return text in (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize("page", ["promises", "security", "hosting"])
def test_promises_name_the_tests_that_show_them(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (examples.DOCS / f"{page}.md").read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert [name for name in TEST.findall(text) if not is_test(name)] == []
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines()[2:]]
    cells = [row.strip("| ").rpartition(" | ")[2] for row in rows]
    without = [cell for cell in cells if not (TEST.search(cell) or is_command(cell))]
    assert cells and without == []
    if page == "promises":
        return
    sections = re.split(r"^#+ (.*)$", text, flags=re.MULTILINE)[1:]
    named = dict(zip(sections[::2], sections[1::2], strict=True))
    assert [title for title, words in named.items() if title not in UNPROMISING and not TEST.search(words)] == []


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a wheel holds, and the folder `training`, which some pages take from a checkout."""
    home = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(wheel.build(home)) as packed:
        packed.extractall(home / "unpacked")
    (home / "unpacked/training").symlink_to(ROOT / "training")
    return home / "unpacked"


def marks(page: Path) -> list[pytest.MarkDecorator]:
    files = examples.named("weights", page)
    return [
        pytest.mark.release if page.stem in RELEASE else pytest.mark.slow,
        *([pytest.mark.weights(*files)] if files else []),
    ]


@pytest.mark.parametrize("page", [pytest.param(path, id=path.stem, marks=marks(path)) for path in examples.followed()])
def test_a_page_does_what_it_says(page: Path, unpacked: Path, tmp_path: Path) -> None:
    if without := examples.lacking(page):
        pytest.skip(f"needs {', '.join(without)}")
    files = [str(weights.weight(name)) for name in examples.named("weights", page)]
    environment = os.environ | {"PYTHONPATH": str(unpacked), "HOME": str(tmp_path)}
    call = [sys.executable, "-P", examples.__file__, str(page), *files]
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert str(unpacked) in done.stdout


def test_docs_index_and_block_kinds() -> None:
    index = (examples.DOCS / "README.md").read_text("utf-8")
    assert [page.name for page in examples.DOCS.glob("*.md") if f"({page.name})" not in index] == ["README.md"]
    fences = {page.name: FENCES.findall(page.read_text("utf-8")) for page in examples.pages()}
    assert {name: kinds for name, kinds in fences.items() if kinds} == {}
