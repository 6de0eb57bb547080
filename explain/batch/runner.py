"""A run over many pictures: what is to be done, who does it, and what came of it; resumable after a kill.

Two engines take the same batches and do the same with each (`work.Work`): threads of this process (`lanes`), and
workers of a Ray cluster (`ray_engine`).
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from common.errors import ModelProblem
from explain.batch import output, records, table, threads
from explain.batch.journal import Journal
from explain.batch.source import MAX_PICTURES, find
from explain.batch.worker import Work
from explain.explainer import Explainer
from explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from explain.batch.item import Item
    from explain.batch.journal import Entry
    from explain.explanation import Explanation
    from explain.progress import Progress

SIDE = 320


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    folder: Path | str
    """An address where the results are on no machine's disk."""
    pictures: int
    """In the source."""
    done: int
    """Explained, in this run or before."""
    resumed: int
    """Pictures that an earlier run had done, or found that they cannot be used."""
    failed: tuple[tuple[str, str], ...] = field(repr=False)
    """(picture, one sentence) of those that could not be used."""
    seconds: float
    cancelled: bool
    """Stopped before the last picture; what is done is in the table."""

    @property
    def words(self) -> str:
        """`4,998 of 5,000 pictures explained; 2 could not be used`."""
        said = f"{self.done:,} of {self.pictures:,} pictures explained"
        # Where all of it was done before, nobody needs to be told.
        more = [f"{self.resumed:,} were done before"] if 0 < self.resumed < self.pictures else []
        more += [f"{len(self.failed):,} could not be used"] if self.failed else []
        return "; ".join([said, *more, *(["stopped"] if self.cancelled else [])])


class Engine(Protocol):
    """Who does the work."""

    device: str
    """Where the model runs, as a recipe has it."""

    def run(
        self,
        batches: Sequence[Sequence[Item]],
        take: Callable[[list[Entry]], None],
        tick: Callable[[str], bool],
    ) -> None:
        """Do every batch. `take` hears, from any thread, what one came to; `tick` is called a few times a second with
        what is waited for, or nothing, and says whether to stop."""


def run(
    source: Any,
    model: str | Explainer,
    out: str | Path,
    *,
    options: dict[str, Any] | None = None,
    device: str = "auto",
    maps: int = 1,
    workers: int | None = None,
    batch_size: int | None = None,
    side: int | None = SIDE,
    resume: bool = True,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    within: Path | None = None,
    engine: str = "plain",
    address: str | None = None,
    gpus: float = 1.0,
    watch: Callable[[Explanation], object] | None = None,
) -> Summary:
    """Explain every picture of a source and write files and a table to `out`.

    `source`, `within`: as `explain.batch.source.find` takes them. `out`: a folder, or one in a storage as
    `s3://bucket/out`. `options`: as for an Explainer's call, `question` among them. `maps`: how many of a classifier's
    best classes have a map, where no targets are named. `workers`: by default one a core, of a cluster one a GPU where
    it has any. `batch_size`: pictures in one pass, by default 4 on a CPU, 32 on a GPU. `side`: the longer side of the
    pictures written, in pixels; None: as large as they are. `resume`: go on where an earlier run into `out` stopped;
    False: start over. `progress` hears the share that is done and what is left, in words.

    `engine`: `plain`, this process; or `ray`, the workers of a cluster: one of this machine's own for as long as the
    run lasts, or that at `address`. There `device` is each worker's, and `gpus` its share of a GPU, above 0.

    `watch` is shown every explanation that this process makes, from any of its threads: a monitor's, say. With `ray`
    there are none.

    Raises ModelProblem where the source, the model or an option is none, or `out` holds results of other settings. A
    picture that cannot be used is skipped and named in the summary and in problems.csv.
    """
    if engine not in ("plain", "ray"):
        raise ModelProblem(f"There is no engine called {engine}: use plain or ray.")
    if any(number is not None and number < 1 for number in (workers, batch_size)):
        raise ModelProblem("batch_size and workers are whole numbers, one at least.")
    kept = output.at(out)
    if engine == "ray":
        from explain.batch import ray_engine

        # In the cluster the model is on the workers' devices; here it is only asked what it takes.
        ray_engine.library()
        explainer = model if isinstance(model, Explainer) else Explainer(model, device="cpu")
        items = find(source, within=within, skip=kept.name, most=ray_engine.MOST)
        work = Work(explainer, options or {}, maps, side, kept.put)
        chosen: contextlib.AbstractContextManager[Engine] = ray_engine.engine(
            work, kept, options or {}, items[0], device, workers, gpus, address
        )
    else:
        items = find(source, within=within, skip=kept.name, most=MAX_PICTURES)
        explainer = model if isinstance(model, Explainer) else Explainer(model, device=device)
        work = Work(explainer, options or {}, maps, side, kept.put)
        work.watch = watch
        chosen = _plain(work, workers)
    with chosen as doer:
        # One by one nothing is gained by a batch, and a stop loses less.
        size = batch_size or (1 if not work.batched else 4 if doer.device == "cpu" else 32)
        settings = json.loads(json.dumps(work.settings)) | {"batch_size": size}
        settings["recipe"]["device"] = doer.device
        try:
            with kept.desk(resume) as desk, contextlib.closing(Journal(desk.folder, settings, resume=resume)) as held:
                for draft in (desk.folder / records.FOLDER).rglob(".*.part"):
                    draft.unlink()
                return _run(items, doer, desk, held, kept.name, size, progress, cancel)
        except OSError as error:
            raise ModelProblem(
                f"Results cannot be written to {kept.name} ({error.strerror}): make room or choose another folder, "
                "then go on."
            ) from error


@contextlib.contextmanager
def _plain(work: Work, workers: int | None) -> Iterator[Engine]:
    cores = len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    yield threads.Lanes(work, workers or cores)


def _run(
    items: list[Item],
    engine: Engine,
    desk: output.Desk,
    held: Journal,
    out: Path | str,
    size: int,
    progress: Progress | None,
    cancel: threading.Event | None,
) -> Summary:
    begun, finished = time.monotonic(), 0
    todo = {item.key for item in items if held.done.get(item.key, ("",))[0] != item.stamp}
    resumed = len(items) - len(todo)
    # By the place in the source, not by what is left: a batch that was begun is done again with the same company, and
    # so comes out the same to the last bit.
    batches = [part for i in range(0, len(items), size) if (part := [o for o in items[i : i + size] if o.key in todo])]
    lock = threading.Lock()

    def take(entries: list[Entry]) -> None:
        nonlocal finished
        held.add(entries)
        with lock:
            finished += len(entries)

    def tick(words: str) -> bool:
        desk.save(output.OFTEN)
        if progress is not None:
            progress((resumed + finished) / len(items), words or _left(resumed, finished, len(items), begun))
        return cancel is not None and cancel.is_set()

    if batches:
        engine.run(batches, take, tick)
    if progress is not None:
        progress(1.0, "Writing the table")
    keys = [item.key for item in items]
    desk.save()
    table.write(desk.folder, held, keys)
    desk.finish((table.PARQUET, table.CSV, table.PROBLEMS))
    failed = tuple((entry["key"], entry["problem"]) for entry in held.entries(keys) if "problem" in entry)
    known = sum(key in held.done for key in keys)
    return Summary(out, len(items), known - len(failed), resumed, failed, time.monotonic() - begun, known < len(items))


def _left(resumed: int, finished: int, total: int, begun: float) -> str:
    """`312 of 5,000 pictures, 2 min left`."""
    said = f"{resumed + finished:,} of {plural(total, 'picture')}"
    if not finished:
        return said
    seconds = (total - resumed - finished) * (time.monotonic() - begun) / finished
    left = (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )
    return f"{said}, {left} left"
