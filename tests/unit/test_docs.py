"""Every page of the docs does what it says, from its first block to its last, for whom installs a wheel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from docs import draw_pictures
from tests import examples, weights, wheel

PAGE = """
```python
# shape.py
SIDES = 3
```
```python
import shape
```
```python
assert shape.SIDES == {sides}
```
```toml
# models.toml
[model."mine"]
loader = "torchvision.classifiers"
arch = "resnet18"
weights = {{ random = 1 }}
```
```console
$ sightglass models list mine
  mine   mine
$ sightglass image bus.jpg --model {model} --top-k 1
```
```python
from pathlib import Path

assert Path("explained").is_dir()
```
"""


def test_every_page_of_the_docs_is_in_their_index() -> None:
    index = (examples.DOCS / "README.md").read_text("utf-8")
    assert [page.name for page in examples.DOCS.glob("*.md") if f"({page.name})" not in index] == ["README.md"]


def test_a_page_begins_with_its_picture() -> None:
    images = {path.stem: path.stat().st_size for path in draw_pictures.IMAGES.glob("*.webp")}
    assert set(images) == {*draw_pictures.PAGES, *draw_pictures.SCREENS}
    assert max(images.values()) <= draw_pictures.MOST
    for name in images:
        text = (examples.DOCS / f"{name}.md").read_text("utf-8")
        first = re.search(r"^(?!# |<!--|$)(.*)\n\n", text, re.MULTILINE)
        assert first is not None and first[1].endswith(f"](images/{name}.webp)"), name
        if name in draw_pictures.PAGES:
            assert examples.blocks(examples.DOCS / f"{name}.md"), name


MOST_WORDS = 35_000
"""Of README.md and docs/ together, as `cat README.md docs/*.md | wc -w` counts them."""


def test_the_docs_are_short_enough_to_be_read() -> None:
    words = {page.name: len(page.read_text("utf-8").split()) for page in examples.pages()}
    longest = sorted(words, key=words.__getitem__, reverse=True)[:5]
    assert sum(words.values()) <= MOST_WORDS, f"shorten what is said twice; the longest pages: {', '.join(longest)}"


SLOW = {"exported", "from-pytorch-grad-cam"}
"""Pages that take a quarter of a minute and more."""
LEFT_OUT = 6
"""Blocks that are not run, each with its reason in the page."""


def test_every_block_is_run_or_says_why_not() -> None:
    every = {page.name: examples.blocks(page) for page in examples.pages()}
    reasons = [f"{page}: {one.reason}" for page, found in every.items() for one in found if one.reason]
    assert len(reasons) == LEFT_OUT, reasons
    assert sum(map(len, every.values())) - LEFT_OUT >= 180
    # No kind of block is another spelling of one that runs.
    fences = re.compile(r"^ *```(?!text$|json$|sh$|yaml$|ini$|nginx$|toml$|python$|console$|$)(.*)$", re.MULTILINE)
    assert {page.name: found for page in examples.pages() if (found := fences.findall(page.read_text("utf-8")))} == {}


def marks(page: Path) -> list[pytest.MarkDecorator]:
    wanted = examples.named("weights", page)
    return [pytest.mark.slow] * (page.stem in SLOW) + ([pytest.mark.weights(*wanted)] if wanted else [])


@pytest.fixture(scope="module")
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What went wrong on each page of the tests that run, all of them followed by one process with an unpacked wheel.

    That process sees neither the checkout nor any picture of it.
    """
    chosen = {item.name.partition("[")[2].rstrip("]") for item in request.session.items if item.path == request.path}
    wanted: dict[str, list[str]] = {}
    for page in examples.followed():
        files = [weights.find(name) for name in examples.named("weights", page)]
        if page.stem in chosen and None not in files and not examples.lacking(page):
            wanted[str(page)] = [str(file) for file in files]
    home, here = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("here")
    with zipfile.ZipFile(wheel.build(home)) as packed:
        packed.extractall(home / "unpacked")
    call = [sys.executable, "-P", examples.__file__, "--as-json", str(home / "answers")]
    environment = os.environ | {"PYTHONPATH": str(home / "unpacked"), "HOME": str(here)}
    done = subprocess.run(
        call, input=json.dumps(wanted), capture_output=True, text=True, cwd=here, env=environment, check=False
    )
    found = [json.loads(line) for line in (home / "answers").read_text("utf-8").splitlines()]
    assert len(found) == len(wanted), done.stderr[-4000:]
    assert all(Path(one["of"]).is_relative_to(home) for one in found)
    return {one["page"]: one["wrong"] for one in found}


@pytest.mark.parametrize("page", [pytest.param(one, id=one.stem, marks=marks(one)) for one in examples.followed()])
def test_a_page_does_what_it_says(page: Path, answers: dict[str, str]) -> None:
    if without := examples.lacking(page):
        pytest.skip(f"needs {', '.join(without)}")
    assert answers[page.stem] == ""


def test_a_page_is_followed_block_by_block_and_leaves_nothing(tmp_path: Path) -> None:
    import sys

    page = tmp_path / "page.md"
    page.write_text(PAGE.format(sides=3, model="mine"), "utf-8")
    before = Path.cwd(), os.environ.get("SIGHTGLASS_MODELS")
    examples.run(page)
    assert (Path.cwd(), os.environ.get("SIGHTGLASS_MODELS")) == before
    assert "shape" not in sys.modules


@pytest.mark.parametrize(("sides", "model"), [(4, "mine"), (3, "yours")])
def test_a_page_that_is_wrong_is_found(sides: int, model: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.format(sides=sides, model=model), "utf-8")
    with pytest.raises(AssertionError):
        examples.run(page)


def test_what_a_page_needs_is_known_before_it_runs(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- needs: torch no_such_module -->\n<!-- weights: none.pt -->\n", "utf-8")
    assert examples.lacking(page) == ["no_such_module"]
    assert examples.named("weights", page) == ["none.pt"]
