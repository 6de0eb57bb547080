"""What a role allows is checked where things are saved and started, whatever the screens show."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.api.schemas import ApiRules
from sightglass.common import users
from sightglass.common.access import people, policy
from sightglass.common.errors import NotAllowed, WeightsProblem
from sightglass.components.views import snapshots
from sightglass.explain import Explainer
from sightglass.explain.picture.image import load_bundled
from sightglass.history import History
from sightglass.models import catalog
from sightglass.models.checkpoints import weights
from sightglass.models.spec import WeightsTable
from sightglass.monitor import Monitor, default
from sightglass.monitor.trend import forget_reference
from sightglass.pages.batch.job import BatchJob
from sightglass.pages.video.job import ClipJob
from sightglass.pages.watch.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sightglass.explain.explanation import Explanation

VIEWER = users.User("vera", "Vera", "viewer")


@pytest.fixture(scope="module")
def made() -> Explanation:
    return Explainer("demo-cls-s")(load_bundled("china"))


@pytest.fixture(autouse=True)
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("history", "monitor", "heatmaps", "batches"):
        monkeypatch.setenv(f"SIGHTGLASS_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("SIGHTGLASS_PEOPLE", str(tmp_path / "people.sqlite3"))
    yield tmp_path
    policy.install(policy.Policy())


def changes(made: Explanation, folder: Path) -> dict[str, Callable[[], Any]]:
    history = History(folder / "history")
    with users.acting(users.LOCAL):
        kept = history.keep(made).id
    return {
        "keep": lambda: history.keep(made, note="again"),
        "deck": lambda: history.decks.create("A deck"),
        "delete": lambda: history.delete([kept]),
        "photo": lambda: snapshots.write_unique(b"x", folder / "heatmaps", "x.jpg"),
        "batch": lambda: BatchJob(None, ()),  # type: ignore[arg-type]
        "reference": lambda: Monitor(folder / "monitor").set_reference([made]),
        "no reference": lambda: forget_reference(Monitor(folder / "monitor"), made.model.id),
        "clip": lambda: ClipJob(None),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("what", ["keep", "deck", "delete", "photo", "batch", "clip", "reference", "no reference"])
def test_a_viewer_saves_and_starts_nothing(what: str, made: Explanation, stores: Path) -> None:
    with users.acting(VIEWER):
        change = changes(made, stores)[what]
        before = {path for path in stores.rglob("*") if path.is_file()}
        with pytest.raises(NotAllowed, match=r"^Viewers cannot .*: ask an administrator"):
            change()
    assert {path for path in stores.rglob("*") if path.is_file()} == before


def test_a_viewer_reads_what_there_is(made: Explanation, stores: Path) -> None:
    with users.acting(users.User("vera", "Vera", "user")):
        kept = History(users.folder(stores / "history")).keep(made)
    with users.acting(VIEWER):
        assert History(users.folder(stores / "history")).get(kept.id).id == kept.id


def test_what_a_viewer_explains_is_not_monitored(made: Explanation, stores: Path) -> None:
    for role, expected in (("viewer", False), ("user", True)):
        with users.acting(users.User("vera", "Vera", role)):
            default().watch(made)
        assert any(path.is_file() for path in stores.glob("monitor/**/*.jsonl")) == expected


def test_the_api_explains_for_a_viewer_and_saves_nothing(scene: Path) -> None:
    policy.install(policy.Policy("password"))
    people.add("vera", "viewer")
    headers = {"authorization": f"Bearer {people.issue_token('vera', '')}"}
    with TestClient(create(ApiRules(model="demo-cls-s"))) as client:
        for fields, status in (({}, 200), ({"monitor": "false"}, 200), ({"monitor": "true"}, 403)):
            answer = client.post("/api/explain", files={"image": scene.read_bytes()}, data=fields, headers=headers)
            assert answer.status_code == status, answer.text
    assert answer.json()["type"] == "/api/problems/role"
    assert "Viewers cannot have explanations monitored" in answer.json()["detail"]


def test_a_viewer_starts_no_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SIGHTGLASS_OFFLINE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "_stream", lambda *_: pytest.fail("it was downloaded"))
    spec = replace(catalog.spec("efficientnet-lite0"), weights=WeightsTable(url="https://example.org/gone.pth"))
    with users.acting(VIEWER):
        assert weights.offline()
        with pytest.raises(
            WeightsProblem, match="and viewers cannot start a download: ask an administrator of this server"
        ):
            weights.locate(spec)
    with users.acting(replace(VIEWER, role="user")):
        assert not weights.offline()


def test_the_example_of_watch_has_something_to_show_to_a_viewer(stores: Path) -> None:
    with users.acting(VIEWER):
        trial = Trial(catalog.spec("demo-cls-s"), {}, shared=True)
    end = time.monotonic() + 60
    while not (trial.status.done or trial.finished(0.01)):
        assert time.monotonic() < end
    trial.cancel.set()
    assert trial.finished(60)
    assert trial.status.failure is None
    assert len(trial.monitor.observations()) == trial.status.done
