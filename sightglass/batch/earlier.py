"""Note what a batch run needs to go on, and list earlier runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from sightglass.batch import journal, table
from sightglass.common.errors import ModelProblem
from sightglass.common.files import write_file
from sightglass.explain.phrases import printable
from sightglass.models import catalog

if TYPE_CHECKING:
    from sightglass.explain.explainer import Explainer

FILE = "run.json"
"""In the folder of results. The journal names what results depend on, which is neither where the pictures are nor how
many."""


@dataclass(frozen=True, kw_only=True)
class SecondRun:
    """The run of another model over the same pictures."""

    model: str
    options: dict[str, Any]
    folder: str
    """Its name, beside the first one's."""


@dataclass(frozen=True, kw_only=True)
class RunOrigin:
    """The source and models as a person chose them."""

    source: tuple[str, ...]
    """A folder, a pattern, a list or an archive; or several paths."""
    base: str = ""
    """The folder in which relative paths begin."""
    name: str = ""
    model: str = ""
    """As it was named; empty: as it is listed."""
    names: str = ""
    """File of the names of its classes; empty: its own."""
    samples: int | None = None
    """How many of the pictures were taken; None: all."""
    second: SecondRun | None = None
    more: tuple[SecondRun, ...] = ()
    """Those of further models, after the second."""

    @property
    def others(self) -> tuple[SecondRun, ...]:
        """The runs of all other models."""
        return (self.second, *self.more) if self.second is not None else ()

    def with_others(self, others: Sequence[SecondRun]) -> RunOrigin:
        """Return it with the runs of other models."""
        return replace(self, second=next(iter(others), None), more=tuple(others[1:]))


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """Arguments of `runner.run` that the next run into a folder needs again."""

    options: dict[str, Any]
    device: str
    maps: int
    batch_size: int | None
    side: int | None
    colormap: str
    alpha: float


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything that a run needs to go on."""

    origin: RunOrigin
    model: str
    arguments: RunArguments
    pictures: int
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    done: int | None = None
    """Pictures that are explained, or of no use; None of a run that did not come to its end."""

    @property
    def name(self) -> str:
        """What a person calls the pictures."""
        return self.origin.name or Path(self.origin.source[0]).name or self.origin.source[0]


_ADAPTER = TypeAdapter(RunFacts)


def describe_source(source: Any) -> RunOrigin | None:
    """Return a serialisable picture source; None for uploads."""
    paths = [source] if isinstance(source, str | os.PathLike) else source
    if not (isinstance(paths, Sequence) and paths and all(isinstance(path, str | os.PathLike) for path in paths)):
        return None
    return RunOrigin(source=tuple(os.fspath(path) for path in paths), base=os.getcwd())


def name_model(model: str | Explainer, origin: RunOrigin) -> str | None:
    """Return a model's persistent name; None for an in-memory model."""
    named = origin.model or (model if isinstance(model, str) else model.model.id)
    if catalog.is_file(named):
        return str(catalog.model_file(named))
    if origin.model:
        named = catalog.spec(origin.model).id
    return named if named in catalog.catalog() else None


def write_facts(folder: Path, facts: RunFacts) -> None:
    """Write the facts of a run into its folder of results."""
    write_file(folder / FILE, _ADAPTER.dump_json(facts, indent=1, fallback=str))


def unreadable_problem(folder: Path) -> ModelProblem:
    """Return the problem of a run with unreadable facts."""
    name = printable(folder.name)
    return ModelProblem(f"The notes of the run {name} cannot be read: choose its pictures again to go on.")


def read_facts(folder: Path) -> RunFacts | None:
    """Return a run's facts, or None; raise ModelProblem for unreadable ones."""
    try:
        facts = _ADAPTER.validate_json((folder / FILE).read_bytes())
        others = facts.origin.others
        # A folder's name, and no way out of where results are.
        if not (facts.origin.source and facts.pictures > 0) or any(
            Path(other.folder).name != other.folder for other in others
        ):
            raise ValueError
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise unreadable_problem(folder) from error
    origin = facts.origin.with_others([replace(other, options=_restore_tuples(other.options)) for other in others])
    arguments = replace(facts.arguments, options=_restore_tuples(facts.arguments.options))
    return replace(facts, origin=origin, arguments=arguments)


def _restore_tuples(value: Any) -> Any:
    """Return options with tuples in place of JSON's lists."""
    if isinstance(value, dict):
        return {name: _restore_tuples(item) for name, item in value.items()}
    return tuple(map(_restore_tuples, value)) if isinstance(value, list) else value


MOST = 20
"""Runs that are listed."""


@dataclass(frozen=True)
class EarlierRun:
    """An earlier run, over the same pictures with one model or several."""

    folder: Path
    facts: RunFacts | None = None
    """None where they cannot be read."""
    left: int = 0
    """Pictures that are still to be explained."""

    @property
    def problem(self) -> str:
        """Why its facts cannot be read."""
        return str(unreadable_problem(self.folder)) if self.facts is None else ""


def list_runs(base: Path) -> list[EarlierRun]:
    """Return the runs below `base`, newest first."""
    times: dict[Path, float] = {}
    # The folder is missing until the first run.
    with contextlib.suppress(OSError):
        for folder in base.iterdir():
            with contextlib.suppress(OSError):
                times[folder] = (folder / FILE).stat().st_mtime
    runs: list[EarlierRun] = []
    seconds: set[str] = set()
    for folder in sorted(times, key=lambda path: -times[path]):
        facts, left = _try_read(folder), 0
        if facts is not None:
            left = _count_left(folder, facts)
            for other in facts.origin.others:
                seconds.add(other.folder)
                beside = folder.parent / other.folder
                left = max(left, _count_left(beside, _try_read(beside) or replace(facts, done=None)))
        runs.append(EarlierRun(folder, facts, left))
    # The run of another model is part of the first one's.
    return [run for run in runs if run.folder.name not in seconds][:MOST]


def _try_read(folder: Path) -> RunFacts | None:
    with contextlib.suppress(ModelProblem, OSError):
        return read_facts(folder)
    return None


def _count_left(folder: Path, facts: RunFacts) -> int:
    """Return how many pictures of a run are still to be explained."""
    done = facts.done
    if done is None:
        try:
            done = _count_done(folder, (folder / journal.NAME).stat().st_mtime_ns)
        except OSError:
            done = 0
    # Whatever its facts say, a run without a table has no result to show.
    return max(facts.pictures - done, 0 if (folder / table.PARQUET).is_file() else 1)


@lru_cache(maxsize=256)
def _count_done(folder: Path, _changed: int) -> int:
    return sum(bool(stamp) for stamp in journal.stamps_of(folder).values())
