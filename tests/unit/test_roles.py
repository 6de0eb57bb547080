"""What a role allows is checked where things are saved and started, whatever the screens show."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.api.schemas import ApiRules
from sightglass.common import users
from sightglass.common.access import people, policy
from sightglass.common.errors import NotAllowed, WeightsProblem
from sightglass.components.session.jobs import background, explain_job
from sightglass.components.views import snapshots
from sightglass.explain import Explainer
from sightglass.explain.picture.image import load_bundled
from sightglass.history import History
from sightglass.models import catalog
from sightglass.models.checkpoints import weights
from sightglass.models.spec import WeightsTable
from sightglass.pages.batch.job import BatchJob
from sightglass.pages.video.job import ClipJob

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
    for name in ("history", "heatmaps", "batches"):
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
        "clip": lambda: ClipJob(None),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("what", ["keep", "deck", "delete", "photo", "batch", "clip"])
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


def test_the_api_explains_for_a_viewer_and_saves_nothing(scene: Path) -> None:
    policy.install(policy.Policy("password"))
    people.add("vera", "viewer")
    headers = {"authorization": f"Bearer {people.issue_token('vera', '')}"}
    with TestClient(create(ApiRules(model="demo-cls-s"))) as client:
        for fields in ({}, {"save_below": "1"}):
            answer = client.post("/api/explain", files={"image": scene.read_bytes()}, data=fields, headers=headers)
            assert answer.status_code == 200, answer.text
            assert answer.json()["saved"] is None


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


def test_an_example_is_made_for_a_viewer_too_who_may_do_no_more_for_it() -> None:
    class Run:
        status = background.Status()
        role = ""

        def finished(self) -> bool:
            return True

    def make(options: dict[str, Any]) -> Run:
        run = Run()
        run.role = users.current().role
        return run

    choices: Any = SimpleNamespace(model=catalog.spec("demo-cls-s"), method="gradcam", options={})
    with users.acting(VIEWER):
        made: Any = explain_job.example(choices, lambda *given: given[-1](), make)
        assert users.current() is VIEWER
    assert made.role == "user"
