"""Two servers on the same stores lose nothing of each other; one without rights says so in a sentence."""

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from sightglass.batch import labels, relabel
from sightglass.common.errors import Problem, from_machine
from sightglass.evaluation import label_changes
from sightglass.evaluation.label_changes import LabelChange
from sightglass.explain import Explainer
from sightglass.history import History
from sightglass.models.own import adding, store
from sightglass.report import views
from tests.clips import scene
from tests.faults.outcome import files, is_one_sentence
from tests.faults.stores import STORES, Actions

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")]
SERVERS, TIMES = 3, 6
Work = Callable[[Path, str], None]
"""What a server does in a folder; its name."""


@pytest.fixture(scope="module")
def explanation() -> Any:
    return Explainer("demo-cls-s")(scene(1)[0][:80], top_k=1)


def at_once(work: Work, folder: Path) -> None:
    """Let several processes do the same work in a folder."""
    context = get_context("fork")
    processes = [context.Process(target=work, args=(folder, str(number))) for number in range(SERVERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * SERVERS


def named() -> set[str]:
    return {f"{server}-{time}" for server in range(SERVERS) for time in range(TIMES)}


def test_saved_views_and_decks(explanation: Any, tmp_path: Path) -> None:
    slide = views.new_view([views.explained_picture(explanation)], title="A", sentence="B.")
    shared = History(tmp_path).decks.create("shared").id

    def work(folder: Path, name: str) -> None:
        history = History(folder)
        for time in range(TIMES):
            record = history.keep(explanation, note=f"{name}-{time}")
            history.annotate(record.id, tags=[f"{name}-{time}"])
            history.decks.add(shared, slide)
            history.decks.create(f"{name}-{time}")

    at_once(work, tmp_path)
    history = History(tmp_path)
    records = history.search(limit=100).records
    assert {record.note for record in records} == {tag for record in records for tag in record.tags} == named()
    assert {deck.title for deck in history.decks.all()} == named() | {"shared"}
    assert len(history.decks.get(shared).slides) == SERVERS * TIMES


def test_tables_of_models(tmp_path: Path) -> None:
    def work(folder: Path, name: str) -> None:
        for time in range(TIMES):
            adding.write(folder / "models.toml", f"{name}-{time}", {"loader": "timm"}, force=False)

    at_once(work, tmp_path)
    assert adding.tables(tmp_path / "models.toml").keys() == named()


def test_corrections_of_labels(tmp_path: Path) -> None:
    def work(folder: Path, name: str) -> None:
        for time in range(TIMES):
            relabel.change_label([folder], LabelChange(f"{name}-{time}", "star"))
            labels.correct(folder, {f"{name}-{time}": ["star"]})

    at_once(work, tmp_path)
    assert {change.picture for change in label_changes.read(tmp_path)} == named()
    assert labels.corrections(tmp_path).keys() == named()


NOBODY = 65534
NO_ROOT = not hasattr(os, "geteuid") or os.geteuid() != 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter: those of pytest are for one user."""
    folder = Path(tempfile.mkdtemp(prefix="sightglass-faults-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def answers_of_nobody(actions: Actions) -> dict[str, str]:
    """Do things as a user without rights; return what was said, a traceback where that was no sentence."""

    def work(sender: Connection) -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        said: dict[str, str] = {}
        for name, action in actions.items():
            try:
                action()
            except Exception as error:
                problem = error if isinstance(error, Problem) else from_machine(error)
                said[name] = traceback.format_exc() if problem is None else str(problem)
        sender.send(said)

    receiver, sender = get_context("fork").Pipe(duplex=False)
    process = get_context("fork").Process(target=work, args=(sender,))
    process.start()
    sender.close()
    said: dict[str, str] = receiver.recv()
    process.join()
    return said


@pytest.mark.skipif(NO_ROOT, reason="only root can become another user")
@pytest.mark.parametrize("mode", ["no access", "read-only"])
@pytest.mark.parametrize("kind", STORES)
def test_user_without_rights(kind: str, mode: str, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built, folder = STORES[kind](), open_folder / "store"
    monkeypatch.setenv(built.variable, str(folder))
    built.build(folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    if mode == "no access":
        folder.chmod(0o700)
    before = files(folder)
    said = answers_of_nobody(built.actions(folder))
    for name, text in said.items():
        assert is_one_sentence(text), f"{name}: {text}"
    print(kind, mode, said)
    assert said, "nothing was refused"
    assert files(folder) == before


@pytest.mark.skipif(NO_ROOT, reason="only root can become another user")
def test_adding_models_without_rights(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder / "models"
    folder.mkdir()
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS", str(folder))
    adding.write(store.table(), "leaf", {"loader": "timm"}, force=False)
    said = answers_of_nobody(
        {
            "add": lambda: store.receive([("moss.pth", b"x")]),
            "change": lambda: store.change("leaf", {"weights.labels": None}),
            "remove": lambda: store.remove("leaf"),
        }
    )
    assert said.keys() == {"add", "change", "remove"}
    for text in said.values():
        assert is_one_sentence(text), text
        assert "No access to " in text
    assert [*store.tables()] == ["leaf"]
