"""What all tests share: pictures, and a process that never reaches out."""

import atexit
import gc
import importlib.util
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import weights

os.environ.setdefault("SIGHTGLASS_OFFLINE", "1")
# Spinning threads on a shared machine make the tests ten times slower, see sightglass/ui/session/page.py.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("YOLO_OFFLINE", "1")
for kept in ("CLIPS", "HEATMAPS", "HISTORY", "OWN_MODELS"):
    # No test writes to what the person who runs it has kept, nor to what another process of tests keeps.
    folder = os.environ[f"SIGHTGLASS_{kept}"] = tempfile.mkdtemp(prefix=f"sightglass-{kept.lower()}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


# What nobody holds any more is let go of at the end, where libraries count what they have left.
atexit.register(gc.unfreeze)

SLOWEST = ("browser", "pages", "cli", "families")
"""Folders and files of tests, the slowest first; what is not named takes less time than any of them."""


def asset(package: str, *parts: str) -> Path:
    """A picture that an installed package carries, found without importing the package."""
    spec = importlib.util.find_spec(package)
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]).joinpath(*parts)


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest leaves its script as the main module, and processes that later tests start would run it."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


class _Faults(logging.Handler):
    """Raises what went wrong in the measuring of a model itself, which a user's program logs and infers instead."""

    def emit(self, record: logging.LogRecord) -> None:
        from sightglass.common.errors import Problem

        fault = record.exc_info[1] if record.exc_info else None
        # Somebody's forward may raise on a changed picture, and autograd where its graph has no gradient.
        if fault is not None and not isinstance(fault, (Problem, RuntimeError)):
            raise fault


@pytest.fixture(autouse=True, scope="session")
def faults_of_measuring() -> Iterator[None]:
    """No test takes the path of a model that could not be measured because of a fault of ours."""
    logger, faults = logging.getLogger("sightglass.explain.evidence.trial"), _Faults()
    logger.addHandler(faults)
    yield
    logger.removeHandler(faults)


@pytest.fixture(autouse=True, scope="module")
def own_checks() -> Iterator[None]:
    """Pages of one module show no checks that another one ran."""
    yield
    if (checks := sys.modules.get("sightglass.ui.checks")) is not None:
        checks.CACHE.clear()


@pytest.fixture(scope="session")
def bus() -> Path:
    return asset("ultralytics", "assets", "bus.jpg")


@pytest.fixture(scope="session")
def pictures(bus: Path) -> list[Path]:
    return [bus, bus.with_name("zidane.jpg"), *sorted(asset("sklearn", "datasets", "images").glob("*.jpg"))]


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the example `scene 3`, in which the packaged demo-s finds 2 ball-dots, a gear and a rod-cross."""
    from sightglass.explain.picture.image import to_png
    from sightglass.ui.session.pictures.image_source import load_bundled

    path = tmp_path_factory.mktemp("scenes") / "scene 3.png"
    path.write_bytes(to_png(load_bundled("scene 3").pixels))
    return path


PERSONS = """[model."persons"]
loader = "osnet"
arch = "osnet_x0_25"
task = "embed"
weights = { random = 1 }
"""
"""An untrained OSNet, which compares pictures and has no classes."""


@pytest.fixture
def models_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's models.toml, not yet written."""
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "models.toml"))
    return tmp_path / "models.toml"


@pytest.fixture
def persons(models_file: Path) -> str:
    """The id of an untrained OSNet, in a models.toml of one's own."""
    models_file.write_text(PERSONS)
    return "persons"


@pytest.fixture
def as_built() -> Iterator[None]:
    """Models run as they were built: untrained ones carry a last bit that differs far."""
    from tests.folding import unfold

    with unfold():
        yield


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
        # Otherwise the libraries to whose maps ours are compared round to TF32.
        torch.backends.cudnn.allow_tf32 = False


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out a file whose tests are all left out, as each process would import the libraries that it needs."""
    left_out = [mark for mark in ("slow", "release") if f"not {mark}" in (config.option.markexpr or "")]
    if not left_out or not collection_path.name.startswith("test_") or collection_path.suffix != ".py":
        return None
    marks = re.search(r"^pytestmark = .*$", collection_path.read_text("utf-8"), re.MULTILINE)
    return bool(marks and any(f"pytest.mark.{mark}" in marks[0] for mark in left_out)) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take longest, so that several processes end at about the same time."""
    items.sort(
        key=lambda item: next((i for i, folder in enumerate(SLOWEST) if folder in item.path.parts), len(SLOWEST))
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Look for no garbage while the tests are imported: that was a quarter of the time."""
    gc.disable()
    report = yield
    gc.enable()
    return report


FROZEN = [0]
"""How many modules there were when their objects were last taken out of searches for garbage."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs weights that are not here, and take imported modules out of every later search for garbage.

    Once a test has imported Keras, Streamlit clears its session after each run of a page, and that looks through all
    objects for garbage: .5 s among the million of torch, transformers and others, most of what the tests of pages took.
    """
    weights.begin(item)
    if len(sys.modules) > FROZEN[0] + 100:
        gc.collect()
        gc.freeze()
        FROZEN[0] = len(sys.modules)
