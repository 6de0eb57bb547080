"""Store the facts by which runs of the page Pictures are listed and resumed."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from sightglass import examples
from sightglass.batch import table
from sightglass.batch.journal import NAME, count_done
from sightglass.common.errors import ModelProblem, Problem, Unreadable
from sightglass.common.files import modified
from sightglass.common.files.keeping import read_json, reading, replace_file, set_aside_unreadable
from sightglass.explain.explainer import Explainer
from sightglass.explain.picture.image import example_meant
from sightglass.explain.picture.source import Item, find, local_path
from sightglass.models import catalog

FILE = "run.json"
"""In the folder of results; its journal names what results depend on: not where or how many the pictures are."""
MAX_LISTED = 20
"""Runs that a page lists."""


@dataclass(frozen=True)
class RunPlan:
    """One model's run, and where its results go."""

    model: str
    options: dict[str, Any]
    folder: Path


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """The facts by which a run is listed and resumed."""

    source: tuple[str, ...]
    """A folder, a pattern or an archive; or several paths."""
    name: str
    """The user's name for the pictures."""
    plans: tuple[RunPlan, ...]
    """The run's own, and those of other models over the same pictures; their folders are beside each other."""
    pictures: int = 0
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    done: int | None = None
    """Pictures that are explained, or of no use; None of a run that did not come to its end."""

    @property
    def folder(self) -> Path:
        """Where the first model's results go."""
        return self.plans[0].folder


_ADAPTER = TypeAdapter(RunFacts)


def describe_run(pictures: Any, model: str | Explainer, options: dict[str, Any], folder: Path) -> RunFacts | None:
    """Return the facts of a run; None where the next process could not find its pictures or model."""
    paths = [pictures] if isinstance(pictures, str | os.PathLike) else pictures
    if not (isinstance(paths, Sequence) and paths and all(isinstance(path, str | os.PathLike) for path in paths)):
        return None
    model_id = model if isinstance(model, str) else model.model.id
    if catalog.is_file(model_id):
        model_id = str(catalog.model_file(model_id))
    elif model_id not in catalog.catalog():
        return None
    source = tuple(map(_absolute, paths))
    name, plan = Path(source[0]).name or source[0], RunPlan(model_id, options, folder)
    return RunFacts(source=source, name=name, plans=(plan,))


def _absolute(path: str | os.PathLike[str]) -> str:
    """Return a path as any process finds it; addresses and names of bundled pictures stay."""
    text = os.fspath(path)
    local = local_path(text)
    return text if local is None or example_meant(text) else os.path.abspath(local.expanduser())


def write_facts(folder: Path, facts: RunFacts) -> None:
    """Write the facts of a run into its folder of results."""
    first, *others = facts.plans
    # Relative names, so that the folders can be moved together, and that of the run renamed.
    beside = (replace(plan, folder=Path(plan.folder.name)) for plan in others)
    written = replace(facts, plans=(replace(first, folder=Path()), *beside))
    data = _ADAPTER.dump_json(written, indent=1, fallback=str)
    replace_file(folder / FILE, data, lambda: read_facts(folder))


def claim(facts: RunFacts) -> None:
    """Write the facts of a run that begins, where its folder has none.

    Those that cannot be read are kept beside.
    """
    for plan in facts.plans:
        set_aside_unreadable(plan.folder / FILE, partial(read_facts, plan.folder))
    if read_facts(facts.folder) is None:
        facts.folder.mkdir(parents=True, exist_ok=True)
        write_facts(facts.folder, facts)


def read_facts(folder: Path) -> RunFacts | None:
    """Return a run's facts; None without any. Raises Unreadable."""
    facts = read_json(folder / FILE, _ADAPTER)
    if facts is None:
        return None
    # Plain folder names only: no path may lead out of the results.
    inside = all(len(plan.folder.parts) == 1 and plan.folder.name not in ("", "..") for plan in facts.plans[1:])
    if not (inside and facts.source and facts.plans and facts.pictures > 0):
        raise Unreadable(f"{FILE} in {folder} is damaged: put a copy of it back, or move it away.")
    first, *others = facts.plans
    beside = (replace(plan, folder=folder.parent / plan.folder) for plan in others)
    return replace(facts, plans=(replace(first, folder=folder), *beside))


def check_source(folder: Path, facts: RunFacts, items: Sequence[Item]) -> None:
    """Raise ModelProblem where a folder holds results of other pictures; those that are gone may have been moved.

    Raises Unreadable where it does not say of which.
    """
    before = read_facts(folder)
    if before is None or {*before.source} & {*facts.source} or not count_done(folder):
        return
    first, *others = before.source
    try:
        known = {(item.name, item.stamp) for item in find(before.source if others else first)}
    except (ModelProblem, OSError):
        return
    if any(at != "missing" for _, at in known) and known.isdisjoint((item.name, item.stamp) for item in items):
        raise ModelProblem(
            f"{folder} holds results of other pictures ({first}): choose another folder, or start over (on the command "
            "line: --restart)."
        )


def list_runs(base: Path) -> list[RunFacts]:
    """Return the runs below `base` with readable facts, newest first.

    Raises Unreadable for `base` itself.
    """
    runs, _ = _read_runs(base)
    # The run of another model is part of the first one's.
    others = {plan.folder for facts in runs for plan in facts.plans[1:]}
    return [facts for facts in runs if facts.folder not in others]


def list_unreadable(base: Path) -> dict[str, str]:
    """Return why runs below `base` are not listed, by their folders' names.

    Raises Unreadable for `base` itself.
    """
    _, problems = _read_runs(base)
    return problems


def _read_runs(base: Path) -> tuple[list[RunFacts], dict[str, str]]:
    runs: list[RunFacts] = []
    problems: dict[str, str] = {}
    for folder in sorted(_list_folders(base), key=lambda folder: modified(folder / FILE), reverse=True):
        try:
            facts = read_facts(folder)
        except Problem as problem:
            problems[folder.name] = str(problem)
            continue
        if facts is not None:
            runs.append(facts)
        elif (folder / NAME).is_file():
            problems[folder.name] = f"{FILE} in {folder} is missing: put a copy of it back, or run its pictures again."
    return runs, problems


def _list_folders(base: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError), reading(base):
        return [path for path in base.iterdir() if path.is_dir()]
    return []


def read_example() -> RunFacts:
    """Return the packaged run of three models."""
    folder = examples.find(examples.CLASSES)
    facts = read_facts(folder / "run")
    assert facts is not None
    return replace(facts, source=(str(folder / "pictures"),))


def is_finished(facts: RunFacts) -> bool:
    """Return whether each model's run came to its end, with a table."""
    return all(
        _count_answered(plan.folder) >= facts.pictures and (plan.folder / table.PARQUET).is_file()
        for plan in facts.plans
    )


def _count_answered(folder: Path) -> int:
    """Return how many pictures a run has answers to; 0 before its end, and where nothing says it."""
    with contextlib.suppress(Problem):
        run = read_facts(folder)
        return 0 if run is None or run.done is None else run.done
    return 0


def is_stopped(folder: Path) -> bool:
    """Return whether a run lacks answers to some of its pictures. Raises Unreadable."""
    run = read_facts(folder)
    return run is not None and (run.done or 0) < run.pictures
