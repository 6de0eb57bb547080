"""The docs name what is there, and every block of a page runs, in order, with an installed wheel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import examples, weights, wheel
from tests.rooms import ROOT

FENCES = re.compile(r"^ *```(?!text$|json$|sh$|yaml$|ini$|nginx$|toml$|python$|console$|$)(.*)$", re.MULTILINE)
"""Blocks of any other kind: another spelling of a kind that runs would not be run."""
RELEASE = {"exported", "from-pytorch-grad-cam"}
"""Pages that take a quarter of a minute and more."""


def test_what_the_architecture_names_is_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    for path in {name.rstrip("/") for name in re.findall(r"`([\w.]+/[\w./]*)[`:]", text)}:
        assert (ROOT / path).exists(), path


@pytest.fixture(scope="module")
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What went wrong on each page of the tests that run, all of them followed by one process with an unpacked wheel.

    Of the checkout that process sees the folder `training`, and no picture.
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
    # What a wheel lacks and some pages take from a checkout, as they say.
    (home / "unpacked/training").symlink_to(ROOT / "training")
    call = [sys.executable, "-P", examples.__file__, "--as-json", str(home / "answers")]
    environment = os.environ | {"PYTHONPATH": str(home / "unpacked"), "HOME": str(here)}
    done = subprocess.run(
        call, input=json.dumps(wanted), capture_output=True, text=True, cwd=here, env=environment, check=False
    )
    found = [json.loads(line) for line in (home / "answers").read_text("utf-8").splitlines()]
    assert len(found) == len(wanted), done.stderr[-4000:]
    assert all(Path(one["of"]).is_relative_to(home) for one in found)
    return {one["page"]: one["wrong"] for one in found}


def marks(page: Path) -> list[pytest.MarkDecorator]:
    files = examples.named("weights", page)
    return [
        pytest.mark.release if page.stem in RELEASE else pytest.mark.slow,
        *([pytest.mark.weights(*files)] if files else []),
    ]


@pytest.mark.parametrize("page", [pytest.param(one, id=one.stem, marks=marks(one)) for one in examples.followed()])
def test_a_page_does_what_it_says(page: Path, answers: dict[str, str]) -> None:
    if without := examples.lacking(page):
        pytest.skip(f"needs {', '.join(without)}")
    assert answers[page.stem] == ""


def test_every_page_is_in_the_index_and_its_blocks_are_of_kinds_that_are_run_or_only_read() -> None:
    index = (examples.DOCS / "README.md").read_text("utf-8")
    assert [page.name for page in examples.DOCS.glob("*.md") if f"({page.name})" not in index] == ["README.md"]
    found = {page.name: FENCES.findall(page.read_text("utf-8")) for page in examples.pages()}
    assert {name: kinds for name, kinds in found.items() if kinds} == {}
