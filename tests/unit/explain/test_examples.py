"""The examples in the docstrings of the public API run, and give what they say."""

from __future__ import annotations

import doctest
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import asset

MODULES = (
    "sightglass.explain.explainer",
    "sightglass.explain.explanation",
    "sightglass.explain.maps.heatmap",
    "sightglass.explain.maps.statistics",
    "sightglass.explain.methods.attention",
    "sightglass.explain.methods.grad_cam_library",
    "sightglass.explain.methods.gradient",
    "sightglass.explain.methods.rise",
)


def examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in MODULES:
        found = [test for test in finder.find(import_module(name), globs={}) if test.examples]
        assert found, f"{name} has no example"
        yield from found


@pytest.mark.parametrize("test", list(examples()), ids=lambda test: test.name)
def test_an_example_gives_what_it_says(
    test: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(asset("ultralytics", "assets", "bus.jpg"), tmp_path)
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert (failed, tried > 0) == (0, True), capsys.readouterr().out
