"""What all tests share: pictures, weights where they are to be had, and a process that never reaches out."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ.setdefault("SIGHTGLASS_OFFLINE", "1")
# Spinning threads on a shared machine make the tests ten times slower, see components/session/page.py.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("YOLO_OFFLINE", "1")
for kept in ("CLIPS", "HEATMAPS", "HISTORY", "MONITOR", "PEOPLE"):
    if f"SIGHTGLASS_{kept}" not in os.environ:
        # No test writes to what the person who runs it has kept.
        folder = tempfile.mkdtemp(prefix=f"sightglass-{kept.lower()}-")
        os.environ[f"SIGHTGLASS_{kept}"] = os.path.join(folder, "people.sqlite3") if kept == "PEOPLE" else folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


SLOWEST = (
    "browser",
    "pages",
    "test_docs.py",
    "test_ray.py",
    "cli",
    "benchmarks",
    "test_elsewhere.py",
    "test_install.py",
)
"""Folders and files of tests, the slowest first; what is not named takes less time than any of them."""


def asset(package: str, *parts: str) -> Path:
    """A picture that an installed package carries, found without importing the package."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]).joinpath(*parts)


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest leaves its script as the main module, and processes that later tests start would run it."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(scope="session")
def bus() -> Path:
    return asset("ultralytics", "assets", "bus.jpg")


@pytest.fixture(scope="session")
def pictures(bus: Path) -> list[Path]:
    return [bus, bus.with_name("zidane.jpg"), *sorted(asset("sklearn", "datasets", "images").glob("*.jpg"))]


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the example `scene 3`, in which the packaged demo-s finds 2 ball-dots, a gear and a rod-cross."""
    from components.session.image_source import bundled
    from explain.picture.image import to_png

    path = tmp_path_factory.mktemp("scenes") / "scene 3.png"
    path.write_bytes(to_png(bundled("scene 3").pixels))
    return path


@pytest.fixture
def as_built() -> Iterator[None]:
    """Models run as they were built: untrained ones carry a last bit that differs far."""
    from models.adapters.folding import unfolded

    with unfolded():
        yield


def weight(name: str) -> Path:
    """A weight file from SIGHTGLASS_WEIGHTS; skips the test, with the reason, where it is not there."""
    for folder in os.environ.get("SIGHTGLASS_WEIGHTS", "").split(os.pathsep):
        if folder and (path := Path(folder) / name).is_file():
            return path
    pytest.skip(f"{name} is not in SIGHTGLASS_WEIGHTS")


def pytest_addoption(parser: pytest.Parser) -> None:
    help = "Where models run: cuda does not begin without a GPU, cpu hides it, auto takes one if it is there."
    parser.addoption("--device", choices=("auto", "cpu", "cuda"), default="auto", help=help)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the device for all tests: what they load goes to a GPU wherever there is one."""
    device = config.getoption("--device")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise pytest.UsageError("--device cuda: PyTorch sees no GPU on this machine; leave it out, or give cpu.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take longest, so that several processes end at about the same time."""
    items.sort(
        key=lambda item: next((i for i, folder in enumerate(SLOWEST) if folder in item.path.parts), len(SLOWEST))
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all browser tests to one process: they need one server with its models, and wait more than they compute."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)

    return Scheduling(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line of a run says where the browser tests were skipped, and why."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # one of several processes: the first says it
        return
    reasons = {str(report.longrepr[2]) for report in reporter.stats.get("skipped", []) if "browser" in report.nodeid}
    if reasons:
        print(f"Browser tests were skipped: {'; '.join(sorted(reasons)).removeprefix('Skipped: ')}.")
