"""Whatever happens to a file of a store, nothing is lost by what a person does next, and the file is named.

`PYTEST_ADDOPTS=-s` prints a line for each damage. Only archives, packed parts and SQLite have checksums: a bit that
leaves a file of text valid, with another value in it, is noticed by nobody.
"""

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sightglass.batch import uploads
from sightglass.common.errors import MachineProblem, Problem
from sightglass.explain.tasks import TASKS
from tests.faults.outcome import files, is_one_sentence
from tests.faults.stores import STORES, Store, dropped

FAILING: dict[str, int] = {}
"""The paths that the system does not open, and its errors."""


def _fail(event: str, given: tuple[Any, ...]) -> None:
    if event != "open" or not FAILING or not isinstance(given[0], str | os.PathLike):
        return
    path = os.fspath(given[0])
    number = FAILING.get(path)
    if number is not None:
        raise OSError(number, os.strerror(number), path)


@pytest.fixture(scope="module", autouse=True)
def failing_system() -> None:
    """Root reads whatever the modes are, so that the errors come from a hook, which cannot be taken away."""
    sys.addaudithook(_fail)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 2
    path.write_bytes(data)


def refuse(path: Path, number: int) -> None:
    FAILING[str(path)] = number


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "a bit": lambda path: flip(path, path.stat().st_size // 2),
    "UTF-16": lambda path: path.write_bytes(path.read_bytes().decode("latin-1").encode("utf-16")),
    "empty": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
    "no rights": lambda path: refuse(path, errno.EACCES),
    "disk failed": lambda path: refuse(path, errno.EIO),
}
SILENT = {
    # It ends like that of a killed run, and what it lacks is explained again.
    ("journal.jsonl", "truncated"),
    ("results-1/journal.jsonl", "truncated"),
    # Rows that are left out make a shorter table.
    ("problems.csv", "truncated"),
    ("problems.csv", "empty"),
    ("timeline.csv", "truncated"),
    # SQLite begins a new index where there is none.
    ("index.db", "empty"),
}
"""What is noticed by nobody."""
NATIVE = ("index.db",)
"""Files that SQLite opens without Python's `open`."""
CASES = [(kind, file) for kind, store in STORES.items() for file in store.files]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], tuple[Store, Path, Path]]]:
    """Make stores: each with its folder, and a copy of that."""
    made: dict[str, tuple[Store, Path, Path]] = {}

    def build(kind: str) -> tuple[Store, Path, Path]:
        if kind not in made:
            folder, copy = (tmp_path_factory.mktemp(kind) / name for name in ("store", "copy"))
            store = STORES[kind]()
            patch.setenv(store.variable, str(folder))
            store.build(folder)
            shutil.copytree(folder, copy)
            made[kind] = store, folder, copy
        store, folder, _ = made[kind]
        patch.setenv(store.variable, str(folder))
        return made[kind]

    with pytest.MonkeyPatch.context() as patch:
        yield build


def do_next(store: Store, folder: Path) -> list[str]:
    """Do what a person does next; return what was said of things that cannot be read."""
    said: list[str] = []
    for action in store.actions(folder).values():
        try:
            answer = action()
        except Problem as problem:
            assert is_one_sentence(str(problem)), str(problem)
            said.append(str(problem))
        else:
            said += [text for text in answer if isinstance(text, str)] if isinstance(answer, list) else []
    return said


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "file"), CASES, ids=[f"{kind}-{file}" for kind, file in CASES])
def test_nothing_is_lost(built: Callable[[str], tuple[Store, Path, Path]], kind: str, file: str) -> None:
    store, folder, copy = built(kind)
    for damage, harm in DAMAGES.items():
        if file in NATIVE and damage in ("no rights", "disk failed"):
            continue
        shutil.rmtree(folder)
        shutil.copytree(copy, folder)
        before = files(folder)
        key = min(name for name in before if name.endswith(file))
        harm(folder / key)
        damaged = files(folder).get(key) if not FAILING else before[key]
        said = do_next(store, folder)
        FAILING.clear()
        after = files(folder)
        stays = [name for name in before if not name.startswith((key, *store.made_anew, *store.changed))]
        lost = [name for name in stays if before[name] not in after.values()]
        path = Path(key)
        named = any(path.name in text or f"{path.stem} in /" in text for text in said)
        print(f"{key}, {damage}: {len(lost)} lost, {'named' if named else 'silent'}")
        assert lost == [], damage
        assert named or is_silent(store, file, damage), damage
        is_kept = damaged in (None, b"") or damaged in after.values()
        assert is_kept or not named or key.startswith(store.made_anew), damage


@pytest.mark.slow
def test_upload_of_a_run_stays(
    built: Callable[[str], tuple[Store, Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal files that are dropped again lie where the first ones do, also where their archives cannot be read now."""
    _, folder, copy = built("runs")
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    (upload,) = (folder / "uploads").iterdir()
    before = files(upload)

    def fail(*_: object, **__: object) -> None:
        raise MachineProblem("pictures.zip cannot be read or written (Input/output error): check the disk.")

    monkeypatch.setattr(uploads, "find", fail)
    for owner in ("", "another"):
        with pytest.raises(Problem):
            uploads.read_uploads(dropped(), TASKS["classify"], owner=owner)
    assert [path.name for path in upload.parent.iterdir()] == [upload.name]
    assert before.keys() == files(upload).keys()


def is_silent(store: Store, file: str, damage: str) -> bool:
    """Return whether nobody can notice a damage."""
    missing = damage == "gone" and file in store.may_be_missing
    # Frames of a part are explained again.
    return missing or damage == "a bit" or file == "000000.json.z" or (file, damage) in SILENT
