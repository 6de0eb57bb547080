"""The dashboard in Streamlit's own test harness, and what its components were given."""

import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import ElementTree

from sightglass.common.files.packing import unpack_data
from sightglass.explain.methods import rise
from sightglass.ui.choices import model_picker
from sightglass.ui.session import state
from sightglass.ui.session.jobs import background
from sightglass.ui.session.state import Controls
from tests.pages import harness
from tests.waits import patience

T = TypeVar("T")
ROOT = Path(__file__).parents[2]


@dataclass
class Shown:
    """What the viewer was given: its header, and its maps as float32 (h, w) in the order of the panels."""

    head: dict[str, Any]
    maps: list[np.ndarray]
    shared: list[np.ndarray]

    @property
    def titles(self) -> list[str]:
        return [panel["title"] or panel["maps"][0]["title"] for panel in self.head["panels"]]


def received(app: AppTest, name: str) -> list[dict[str, Any]]:
    """What each component of a name was given."""
    drawn = (e.proto for e in app.get("bidi_component") if e.proto.component_name.endswith(name))
    return [unpack_data(proto.bytes)[0] for proto in drawn]


def shown(app: AppTest, place: int = 0) -> Shown:
    payload = [e.proto.bytes for e in app.get("bidi_component") if e.proto.component_name.endswith("viewer")][place]
    head, blobs = unpack_data(payload)
    steps, grids, start = np.frombuffer(zlib.decompress(blobs[1]), "<u2"), [], 0
    for height, width in head["grids"]:
        grids.append(np.cumsum(steps[start : start + height * width].reshape(height, width), axis=1, dtype=np.uint16))
        start += height * width

    def values(item: dict[str, Any], name: str) -> np.ndarray:
        return grids[item[name]].astype(np.float32) / 65535

    items = [item for panel in head["panels"] for item in panel["maps"]]
    shared = [values(item, "shared") for item in items if item["shared"] is not None]
    return Shown(head, [values(item, "own") for item in items], shared)


def _wait_for_work() -> None:
    """Wait for what works aside, at most a second: a page that is drawn meanwhile would only slow it."""
    end = time.monotonic() + 1
    for thread in list(background._RUNNING):
        thread.join(max(0.0, end - time.monotonic()))
    time.sleep(0.02)


def rerun_until(app: AppTest, true: Callable[[], object], seconds: float = 30.0) -> AppTest:
    """The page, run again and again until something is so, as the browser does while work goes on aside."""
    end = time.monotonic() + patience(seconds)
    while not true():
        assert time.monotonic() < end, texts(app)
        _wait_for_work()
        app.run()
    return app


def headline(app: AppTest) -> str:
    """The sentence over the picture."""
    return next(text.value for text in app.markdown if text.value.startswith("## ")).removeprefix("## ")


def bar(app: AppTest) -> dict[str, Any]:
    """What the bar over the picture shows: the pictures to choose, the chosen one, and what was wrong."""
    strip, picture = next(pill for pill in app.pills if pill.label == "Pictures"), session(app, Controls).picture
    names = [unescaped(option.partition("](")[0].removeprefix("![")) for option in strip.options]
    problem = next((unescaped(toast.value) for toast in app.toast if toast.icon == ":material/error:"), "")
    titles = [unescaped(option.partition(' "')[2].removesuffix('")')) for option in strip.options]
    return {"names": names, "chosen": strip.value, "name": picture.name, "problem": problem, "titles": titles}


def unescaped(text: str) -> str:
    """A text that was escaped for Markdown."""
    return re.sub(r"\\(.)", r"\1", text)


def choose(app: AppTest, picture: str) -> AppTest:
    """Click a picture in the bar."""
    next(pill for pill in app.pills if pill.label == "Pictures").set_value(picture)
    return app.run()


def button(app: AppTest, label: str) -> Any:
    """The first button of exactly this name."""
    return next(button for button in app.button if button.label == label)


def press(app: AppTest, label: str, *, fails: bool = False) -> AppTest:
    """Press it; nothing may go wrong, or something must."""
    button(app, label).click().run()
    assert bool(app.error) == fails, texts(app)
    return app


def parameter(app: AppTest, name: str) -> str:
    """A parameter of the address."""
    value = app.query_params[name]
    return value if isinstance(value, str) else value[0]


def choose_row(app: AppTest, place: int, **more: list[int]) -> AppTest:
    """Click on an answer, as the list tells of it."""
    (key,) = (key for key in app.main.root.session_state.filtered_state if key.startswith("rows-"))
    app.session_state[key] = {"chosen": place, **more}
    return app.run()


def labels(app: AppTest) -> list[str]:
    """The names of all buttons."""
    return [element.label for element in app.button]


def texts(app: AppTest) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption, *app.info, *app.error))


@pytest.fixture(autouse=True, scope="session")
def _streamlit_is_harnessed() -> Iterator[None]:
    with harness.without_pages_folder(), harness.packages_read_once():
        yield


@pytest.fixture(autouse=True)
def _no_run_of_a_page_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ElementTree.run

    def checked(self: ElementTree, **options: Any) -> AppTest:
        app = run(self, **options)
        assert not app.exception, app.exception[0].message
        return app

    monkeypatch.setattr(ElementTree, "run", checked)


@pytest.fixture(autouse=True)
def _nothing_works_on() -> Iterator[None]:
    """Work that a page began in a thread ends with its test, and takes no time from the next one."""
    yield
    background.stop_all()


@pytest.fixture
def upload_managers() -> Iterator[list[Any]]:
    """Streamlit's managers of uploaded files, each where it took one."""
    with harness.upload_managers() as managers:
        yield managers


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Sixteen masks for (D-)RISE: the first come at once, the others when the test calls this."""
    release, passes = threading.Event(), rise._masked_passes

    def yield_when_released(evidence: Any, sums: Any, score: Any, report: Callable[[int], None]) -> Iterator[int]:
        for done in passes(evidence, sums, score, report):
            yield done
            while not release.wait(0.02):
                # Raises once it is stopped.
                report(done)

    monkeypatch.setattr(rise, "_masked_passes", yield_when_released)
    monkeypatch.setattr(rise, "SECONDS", 0.0)
    monkeypatch.setenv("SIGHTGLASS_MASKS", "16")
    yield release.set
    release.set()


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Give the operator these tables of models."""

    def give(tables: str) -> None:
        (tmp_path / "models.toml").write_text(tables)
        monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "models.toml"))
        model_picker.forget_menu()

    yield give
    model_picker.forget_menu()


@pytest.fixture
def depth(tmp_path: Path, own_models: Callable[[str], None]) -> str:
    """The id of a network of depths, with random weights."""
    from tests.unit.own_nets import DEPTH_NET

    (tmp_path / "net.py").write_text(DEPTH_NET)
    own_models(
        f'[model.depth]\nloader = "custom"\narch = "{tmp_path / "net.py"}:Depth"\ntask = "regress"\n'
        'weights = { random = 3, preprocessing = { size = 64 }, outputs = [{ name = "depth", unit = "m" }] }\n'
    )
    return "depth"


@pytest.fixture
def pose(tmp_path: Path, own_models: Callable[[str], None]) -> str:
    """The id of a network of poses that finds some boxes, with seeded random weights."""
    import torch

    from sightglass.explain.picture.image import load_bundled
    from tests.built import build, built

    module, adapter = build("yolo11n-pose"), built("yolo11n-pose")
    with torch.no_grad():
        logits = adapter.run(adapter.prepare(load_bundled("scene 1").pixels, "trained").tensor).logits[0]
        for tower in module.model[-1].cv3:
            tower[-1].bias -= logits.flatten().topk(12).values[-1]
    torch.save({"model": module}, tmp_path / "pose.pt")
    own_models(
        f'[model.pose]\nloader = "ultralytics"\narch = "yolo11n-pose.pt"\ntask = "detect"\n'
        f'weights = {{ path = "{tmp_path / "pose.pt"}" }}\n'
    )
    return "pose"


def session(app: AppTest, kind: type[T]) -> T:
    """Return what the dashboard's session remembers of one concern."""
    if state.key(kind) not in app.session_state:
        app.session_state[state.key(kind)] = kind()
    return app.session_state[state.key(kind)]


@pytest.fixture
def page():
    """Open one page, without any other before it: `page("topk")`, with query parameters as keywords.

    Each call is a session of its own, which begins with the `state` that its browser remembers. Nothing may go wrong
    on the page, or something must where it `fails`, or may where that is None.
    """

    def opened(
        name: str = "", state: Mapping[str, Any] | None = None, *, fails: bool | None = False, **parameters: str
    ) -> AppTest:
        app = AppTest.from_file(str(ROOT / "dashboard.py"), default_timeout=patience(120))
        for parameter, value in parameters.items():
            app.query_params[parameter] = value
        for key, value in (state or {}).items():
            app.session_state[key] = value
        harness.run_first(app, name)
        assert fails in (None, bool(app.error)), texts(app)
        return app

    return opened
