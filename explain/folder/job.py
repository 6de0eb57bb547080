"""A run over many pictures: decoded, explained and written batch by batch, resumable after a kill.

Each worker takes a batch all the way, from its files to its row in the journal. On a CPU every worker runs the model
with one thread of its own, which was measured to be quicker than all threads in one pass; where the model is on a GPU,
or explains one picture at a time, one worker is in the model while the others decode ahead and write.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from explain.exact import Turn
from explain.explainer import EVIDENCE, Explainer, _options, _paths
from explain.explanation import KEPT, Explanation
from explain.folder import batched, journal, rows, table
from explain.folder.journal import Journal
from explain.folder.source import Item, find
from explain.layers import find as find_layers
from explain.methods import method as find_method
from explain.questions import settings as settings_for
from explain.recipe import Recipe, versions
from explain.words import plural
from models.errors import Cancelled, ImageProblem, ModelProblem, Problem
from models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from explain.explanation import Options
    from explain.image import Image
    from explain.residency import Progress, Resident
    from models.adapter import Layer

AT_ONCE = 64 * 2**20
"""Bytes of decoded pictures that one worker holds; a batch of larger ones goes through the model in parts."""
SIDE = 320


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    folder: Path
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
) -> Summary:
    """Explain every picture of a source and write files and a table to `out`.

    `source`, `within`: as `explain.folder.source.find` takes them. `options`: as for an Explainer's call, `question`
    among them. `maps`: how many of a classifier's best classes have a map, where no targets are named. `workers`:
    by default one a core. `batch_size`: pictures in one pass, by default 8 on a CPU, 32 on a GPU. `side`: the longer
    side of the pictures written, in pixels; None: as large as they are. `resume`: go on where an earlier run into
    `out` stopped; False: start over. `progress` hears the share that is done and what is left, in words.

    Raises ModelProblem where the source, the model or an option is none, or `out` holds results of other settings. A
    picture that cannot be used is skipped and named in the summary and in problems.csv.
    """
    out = Path(out)
    items = find(source, within=within, skip=out)
    explainer = model if isinstance(model, Explainer) else Explainer(model, device=device)
    given = dict(options or {})
    question = given.pop("question", None)
    first = (
        {"part": explainer.resident.adapter.parts[0]}
        if question is None
        else settings_for(explainer.resident, question)
    )
    chosen = _options(first | given)
    if maps < 1:
        raise ModelProblem(f"maps is {maps!r}: ask for one map a picture at least.")
    on_cpu = explainer.resident.device.type == "cpu"
    work = _Work(explainer, chosen, question, given, maps, out, side)
    # One by one nothing is gained by a batch, and a stop loses less.
    size = batch_size or (1 if not work.batched else 8 if on_cpu else 32)
    workers = workers or len(
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    if size < 1 or workers < 1:
        raise ModelProblem("batch_size and workers are whole numbers, one at least.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = Journal(out, work.settings | {"batch_size": size}, resume=resume)
    except OSError as error:
        raise ModelProblem(f"Results cannot be written to {out} ({error.strerror}): choose another folder.") from error
    try:
        for draft in (out / rows.FOLDER).rglob(".*.part"):
            draft.unlink()
        return _run(items, work, held, workers, size, progress, cancel)
    except OSError as error:
        raise ModelProblem(f"Results cannot be written to {out} ({error.strerror}): make room, then go on.") from error
    finally:
        held.close()


def _run(
    items: list[Item],
    work: _Work,
    held: Journal,
    workers: int,
    size: int,
    progress: Progress | None,
    cancel: threading.Event | None,
) -> Summary:
    begun, stop = time.monotonic(), work.stop
    todo = [item for item in items if held.done.get(item.key, ("",))[0] != item.stamp]
    resumed = len(items) - len(todo)
    # By the place in the source, not by what is left: a batch that was begun is done again with the same company, and
    # so comes out the same to the last bit.
    left = {item.key for item in todo}
    batches = iter(
        [part for i in range(0, len(items), size) if (part := [o for o in items[i : i + size] if o.key in left])]
    )
    lock, finished = threading.Lock(), 0

    def lane() -> None:
        nonlocal finished
        torch.set_num_threads(threads)
        ready.wait()
        own = work.lane()
        while not stop.is_set():
            with lock:
                batch = next(batches, None)
            if batch is None:
                return
            try:
                held.add(own.entries(batch))
            except Cancelled:
                return
            except BaseException:
                stop.set()
                raise
            with lock:
                finished += len(batch)

    # Every thread keeps its own number; new ones of this process shall have as many as before.
    before = torch.get_num_threads()
    threads = 1 if work.apart else before
    ready = threading.Barrier(workers + 1)
    with ThreadPoolExecutor(workers, "folder") as pool:
        lanes = [pool.submit(lane) for _ in range(workers)]
        ready.wait()
        torch.set_num_threads(before)
        try:
            while wait(lanes, 0.25).not_done:
                if cancel is not None and cancel.is_set():
                    stop.set()
                if progress is not None:
                    progress((resumed + finished) / len(items), _left(resumed, finished, len(items), begun))
        except BaseException:
            stop.set()
            raise
    for one in lanes:
        one.result()
    return _summary(items, work.out, held, resumed, begun, progress)


def _summary(
    items: list[Item], out: Path, held: Journal, resumed: int, begun: float, progress: Progress | None
) -> Summary:
    if progress is not None:
        progress(1.0, "Writing the table")
    keys = [item.key for item in items]
    table.write(out, held, keys)
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


class _Work:
    """What is done to each batch; `lane` gives each worker its own."""

    def __init__(
        self,
        explainer: Explainer,
        options: Options,
        question: str | None,
        given: dict[str, Any],
        maps: int,
        out: Path,
        side: int | None,
    ) -> None:
        self.explainer, self.options, self.maps, self.out, self.side = explainer, options, maps, out, side
        self._plainly = dict(given) | ({"question": question} if question else {})
        # Words are the same for all pictures; examples are boxes of one.
        words = replace(options, examples=())
        resident: Resident = explainer.asked(explainer.resident, words, None)
        self.batched = batched.possible(resident, options)
        self.apart = self.batched and resident.device.type == "cpu"
        """Whether each worker runs the model by itself."""
        self.stop = threading.Event()
        """Set where nobody waits for the rest any more."""
        self._resident = resident
        self._turn: AbstractContextManager[Any] = nullcontext() if self.apart else threading.Lock()
        names = _paths(resident, options.layers) or resident.default_layers
        self._layers: tuple[Layer, ...] = find_layers(resident.layers[0], names, resident.adapter.module)
        if options.preprocessing not in resident.adapter.preprocessings:
            raise ModelProblem(f"{explainer.model.id} cannot take a picture as {options.preprocessing!r}.")
        # Said once and now, not of every picture.
        for named in (*options.targets, *options.classes):
            if isinstance(named, str):
                class_index(named, resident.adapter.labels)

    @property
    def settings(self) -> dict[str, Any]:
        """All that results depend on: what an earlier run had differently cannot be gone on with."""
        resident, options = self._resident, self.options
        spec = resident.adapter.spec
        recipe = Recipe(
            picture_sha256="",
            picture_name="",
            model=spec.id,
            weights_sha256=resident.origin.adapter.weights_sha256,
            method=find_method(options.method or (spec.method if resident.gradients else "drise")).id,
            layers=tuple(layer.path for layer in self._layers),
            targets=(),
            masks=options.masks,
            **{name: getattr(options, name) for name in KEPT},
            device=str(resident.device),
            versions=versions(),
        )
        return {
            "recipe": recipe.model_dump(mode="json"),
            "targets": options.targets,
            "maps": self.maps,
            "side": self.side,
        }

    def lane(self) -> _Work:
        """The same for one more worker: where all run the model at once, each holds a lock of its own."""
        if not self.apart:
            return self
        # What is recorded in a pass is told apart by its thread (explain/evidence.py), so one module serves them all.
        own = copy.copy(self)
        own._resident = copy.copy(self._resident)
        own._resident.lock = Turn(own._resident.device)
        return own

    def entries(self, batch: Sequence[Item]) -> list[journal.Entry]:
        """What becomes of each picture; its files are written. Raises Cancelled where nobody waits any more."""
        found: dict[str, journal.Entry] = {}
        for part in self._opened(batch, found):
            for item, made in zip(part, self._explained(list(part.values())), strict=True):
                if isinstance(made, Problem):
                    found[item.key] = {"key": item.key, "stamp": item.stamp, "problem": str(made)}
                    continue
                stem = rows.stem(item)
                rows.write(self.out, stem, made, self.side)
                found[item.key] = {"key": item.key, "stamp": item.stamp, "rows": rows.rows(item, made, stem)}
        return [found[item.key] for item in batch]

    def _opened(self, batch: Sequence[Item], found: dict[str, journal.Entry]) -> Iterator[dict[Item, Image]]:
        """The batch's pictures, decoded, in parts that fit the memory; what cannot be read is in `found`."""
        part: dict[Item, Image] = {}
        for item in batch:
            try:
                part[item] = item.open()
            except ImageProblem as problem:
                found[item.key] = {"key": item.key, "stamp": item.stamp, "problem": str(problem)}
            if sum(image.pixels.nbytes for image in part.values()) > AT_ONCE:
                yield part
                part = {}
        if part:
            yield part

    def _explained(self, images: list[Image]) -> list[Explanation | Problem]:
        if not self.batched:
            return [self._alone(image) for image in images]
        adapter = self._resident.adapter
        channels, way = getattr(adapter, "channels", 3), self.options.preprocessing
        try:
            given = [adapter.prepare(image.taken(channels, adapter.spec.id), way) for image in images]
        except Problem:
            # Of those that are not what the model takes, each is told so by itself.
            return [self._alone(image) for image in images]
        try:
            with self._turn:
                made = batched.explained(self._resident, images, given, self._layers, self.options, self.maps)
            return [*made]
        except (Problem, torch.OutOfMemoryError):
            if len(images) == 1:
                return [self._alone(images[0])]
        half = len(images) // 2
        return [*self._explained(images[:half]), *self._explained(images[half:])]

    def _alone(self, image: Image) -> Explanation | Problem:
        """One picture the plain way: a detector, a slow method, or what did not work in company."""
        options = self._plainly
        if self.stop.is_set():
            raise Cancelled
        with self._turn:
            try:
                if self.explainer.model.task == "classify" and not self.options.targets:
                    said = self.explainer(image, maps=False, **options)
                    options = options | {"targets": tuple(p.index for p in said.predictions[: self.maps])}
                made = self.explainer(image, cancel=self.stop, **options)
            except Problem as problem:
                return problem
        # Thousands of pictures that nobody looks at again would push out those that somebody does.
        EVIDENCE.discard(lambda evidence: evidence is made.evidence)
        return made
