"""Every page of the docs that is an example does what it says, from its first block to its last."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests import examples

PAGE = """
<!-- example -->
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
$ python -m sightglass models list mine
  mine   Own models
$ python -m sightglass image bus.jpg --model {model} --top-k 1
```
```python
from pathlib import Path

assert Path("explained").is_dir()
```
"""


README = Path(__file__).parents[2] / "README.md"


def test_the_readme_s_commands_work_in_order_in_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sightglass.cli import main

    monkeypatch.chdir(tmp_path)
    lines = [line for line in README.read_text("utf-8").splitlines() if line.startswith("$ sightglass ")]
    assert len(lines) >= 5
    for line in lines:
        assert main(shlex.split(line, comments=True)[2:]) == 0, line
    said = capsys.readouterr().out
    assert "The maps match the saved ones bit for bit." in said
    assert (tmp_path / "explained/scene-3").is_dir()


def test_the_readme_s_python_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bus: Path) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(bus, "photo.jpg")
    (block,) = re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert len(names["result"].heatmaps) == 3  # type: ignore[attr-defined]


def test_every_page_of_the_docs_is_in_their_index() -> None:
    index = (examples.DOCS / "README.md").read_text("utf-8")
    assert [page.name for page in examples.DOCS.glob("*.md") if f"({page.name})" not in index] == ["README.md"]


SLOW = {"exported", "from-pytorch-grad-cam"}
"""Pages that take a quarter of a minute and more."""


def marks(page: Path) -> list[pytest.MarkDecorator]:
    wanted = examples.named("weights", page)
    return [pytest.mark.slow] * (page.stem in SLOW) + ([pytest.mark.weights(*wanted)] if wanted else [])


@pytest.mark.parametrize("page", [pytest.param(one, id=one.stem, marks=marks(one)) for one in examples.pages()])
def test_a_page_does_what_it_says(page: Path) -> None:
    if without := examples.lacking(page):
        pytest.skip(f"needs {', '.join(without)}")
    examples.run(page)


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
    assert examples.lacking(page) == ["no_such_module", "none.pt"]
