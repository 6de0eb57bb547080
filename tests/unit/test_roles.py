"""What a role allows is checked where things are saved and started, whatever the screens show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from api.app import create
from api.schemas import Settings
from common import users
from common.access import people, policy
from common.errors import NotAllowed
from components.views import snapshots
from explain import Explainer
from explain.history import History
from explain.monitor import default
from explain.picture.examples import bundled
from pages.batch.job import Job as BatchJob
from pages.video.job import Job as ClipJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from explain.explanation import Explanation

VIEWER = users.User("vera", "Vera", "viewer")


@pytest.fixture(scope="module")
def made() -> Explanation:
    return Explainer("demo-cls-s")(bundled("china"))


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
        "photo": lambda: snapshots.place(b"x", folder / "heatmaps", "x.jpg"),
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


def test_what_a_viewer_explains_is_not_monitored(made: Explanation, stores: Path) -> None:
    for role, expected in (("viewer", False), ("user", True)):
        with users.acting(users.User("vera", "Vera", role)):
            default().watch(made)
        assert any(path.is_file() for path in stores.glob("monitor/**/*.jsonl")) == expected


def test_the_api_explains_for_a_viewer_and_saves_nothing(scene: Path) -> None:
    policy.install(policy.Policy("password"))
    people.add("vera", "viewer")
    headers = {"authorization": f"Bearer {people.issue_token('vera', '')}"}
    with TestClient(create(Settings(model="demo-cls-s"))) as client:
        for fields, status in (({}, 200), ({"monitor": "false"}, 200), ({"monitor": "true"}, 403)):
            answer = client.post("/api/explain", files={"image": scene.read_bytes()}, data=fields, headers=headers)
            assert answer.status_code == status, answer.text
    assert answer.json()["type"] == "/api/problems/role"
    assert "Viewers cannot have explanations monitored" in answer.json()["detail"]
