"""The project stays within its size: lines and files that git tracks."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.packages import BESIDE, ROOT

PRODUCT = ("sightglass", *(f"{name}.py" if name == "dashboard" else name for name in BESIDE))
SOURCES = {".py", ".js", ".css", ".html"}


def tracked(*folders: str) -> list[Path]:
    """Return the source files below folders of the checkout that git tracks, without other projects' in `vendor`."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("lines are counted in a git checkout alone")
    listed = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.suffix in SOURCES and "vendor" not in path.parts and path.is_file()]


def count_lines(paths: Iterable[Path]) -> int:
    return sum(path.read_bytes().count(b"\n") for path in paths)


@pytest.mark.parametrize(("folders", "most"), [(PRODUCT, 60_850), (("tests",), 30_000), (("benchmarks",), 5_000)])
def test_lines_within_budget(folders: tuple[str, ...], most: int) -> None:
    assert 0 < count_lines(tracked(*folders)) <= most


def test_files_within_budget() -> None:
    assert 0 < len(tracked(*PRODUCT)) <= 380
