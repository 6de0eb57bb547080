"""Explain many pictures in one resumable run."""

import contextlib
import os
import random
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

from sightglass.batch import label_examples, run_store, table
from sightglass.batch import labels as run_labels
from sightglass.batch.engines import RayEngine, ThreadEngine, Work
from sightglass.batch.journal import Journal, writing
from sightglass.common.errors import ModelProblem, Unreadable
from sightglass.common.files import remove_drafts, write_file
from sightglass.common.left_out import describe_left_out
from sightglass.common.work.progress import Progress, reported_to
from sightglass.evaluation import label_sizes, stored
from sightglass.evaluation.ground_truth import GroundTruth, RunLabels
from sightglass.explain.explainer import Explainer
from sightglass.explain.explanation import Explanation, pass_size
from sightglass.explain.phrases import plural
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.picture.source import describe_encodings, find, folder_of, local_path
from sightglass.explain.rendering.style import VIEWER_STYLE, Style

MAX_PICTURES = 5_000_000
"""Maximum number of pictures in a run, whose names are held in this process."""
RESULTS = (table.PARQUET, table.FOLDER)
"""Results that a folder has only after its journal."""


@dataclass(frozen=True)
class Summary:
    """The result of a run."""

    folder: Path
    pictures: int
    done: int
    """Number explained, in this run or before."""
    resumed: int
    """Number that an earlier run had explained, or found unusable."""
    failed: tuple[tuple[str, str], ...] = field(repr=False)
    """(picture, one sentence) of the unusable ones."""
    seconds: float
    cancelled: bool
    """Stopped before the last picture; the table holds what was done."""
    left_out: str = ""
    """Which files of the source are no pictures, as a sentence; empty of none."""

    @property
    def nothing_new(self) -> bool:
        """Whether an earlier run with the same settings had done every picture."""
        return self.resumed == self.pictures

    @property
    def words(self) -> str:
        """`4,998 of 5,000 pictures explained; 2 could not be used`."""
        if self.nothing_new:
            text = f"Nothing new: {self.done:,} explained earlier"
            return f"{text}, {len(self.failed):,} unreadable" if self.failed else text
        text = f"{self.done:,} of {plural(self.pictures, 'picture')} explained"
        details = [f"{self.resumed:,} done before"] if self.resumed else []
        details += [f"{len(self.failed):,} could not be used"] if self.failed else []
        return "; ".join([text, *details, *(["stopped"] if self.cancelled else [])])


@dataclass
class BatchJob:
    """A resumable run over many pictures, into files and a table.

    >>> BatchJob("pictures/", "efficientnet-lite0", "out/").run().words  # 160 of 160 pictures explained
    """

    source: Any
    """The pictures, as `sightglass.explain.picture.source.find` takes them."""
    model: str | Explainer
    """Id or file of the model, or an Explainer."""
    out: str | Path
    """Folder of the results."""
    _: KW_ONLY
    options: dict[str, Any] | None = None
    """As for an Explainer's call, including `question`."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps; in a cluster each worker's, auto, cpu or cuda."""
    maps: int = 1
    """Number of a classifier's best classes that are explained where no targets are named."""
    workers: int | None = None
    """By default one per core, in a cluster one per GPU if it has any."""
    batch_size: int | None = None
    """Pictures in one pass, by default 4 on a CPU and 32 on a GPU."""
    side: int | None = table.SIDE
    """Pixels of the longer side of the written pictures at most; None: their own."""
    style: Style = VIEWER_STYLE
    """How the written pictures are drawn."""
    labels: GroundTruth | Path | str | None = None
    """What is in the pictures, or a file or folder of it (`ground_truth.read`, `masks.read`): all answers are compared
    with it, also earlier ones. None: the labels of the earlier run. `batch.labels.correct` says before a run which
    classes labels mean, where their names do not."""
    resume: bool = True
    """Continue an earlier run into `out`; False: start over."""
    progress: Progress | None = None
    """Receives the share that is done, 0..1, and what is being done."""
    cancel: Event | None = None
    """Stops the run once it is set."""
    engine: str = "plain"
    """`plain`, this process; or `ray`, a cluster."""
    address: str | None = None
    """Address of the cluster, by default the one of this machine."""
    gpus: float = 1.0
    """Share of a GPU, or number of GPUs, of each of the cluster's workers."""
    on_explained: Callable[[Explanation], object] | None = None
    """Receives every explanation made in this process, in any thread."""
    on_labels: Callable[[list[str]], object] | None = None
    """Receives what the given labels were read as, a sentence each, before the first picture."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Receives the files of the source that are no pictures, with the reasons."""
    facts: run_store.RunFacts | None = None
    """What Pictures lists the run by and goes on with; by default the source, if the next process can find it."""

    def run(self) -> Summary:
        """Run the job, or what an earlier run has left of it.

        Raises ModelProblem if the source, the model or an option is not valid, or if `out` holds results of other
        settings; unusable pictures are only listed in problems.csv.
        """
        self.prepare()
        with writing(self.folder), contextlib.ExitStack() as stack:
            self.open(stack)
            self.execute()
            return self.finish()

    def prepare(self) -> None:
        """Find the pictures, load the model and check the options."""
        if self.engine not in ("plain", "ray"):
            raise ModelProblem(f"There is no engine called {self.engine}: use plain or ray.")
        if (folder := local_path(os.fspath(self.out))) is None:
            raise ModelProblem(
                f"Results are written to a folder, not to {self.out}: give one, and copy it there afterwards."
            )
        self.folder = folder
        self.items = find(self.source, skip=folder, most=MAX_PICTURES, left_out=self.left_out)
        # In a cluster the workers run the model; this process only reads its properties.
        device, model = "cpu" if self.engine == "ray" else self.device, self.model
        explainer = model if isinstance(model, Explainer) else Explainer(model, device=device)
        self.work = Work(explainer, self, folder.absolute())
        if facts := self.facts or run_store.describe_run(self.source, model, self.work.call_options, folder):
            self.facts = replace(facts, pictures=len(self.items))
            if self.resume:
                run_store.check_source(folder, facts, self.items)

    def open(self, stack: contextlib.ExitStack) -> None:
        """Read the labels, choose the engine, and lock the journal until `stack` closes."""
        work = self.work
        work.labels = self._read_labels()
        self._engine: ThreadEngine | RayEngine = ThreadEngine(work)
        if self.engine == "ray":
            self._engine = RayEngine(stack, work, self.items[0])
        # A batch gains nothing where pictures are explained one by one, and a stop loses less.
        self._size = self.batch_size or pass_size(work.loaded, work.options, self._engine.device)
        settings = work.settings | {"batch_size": self._size}
        settings["recipe"]["device"] = self._engine.device
        journal = Journal(self.folder, settings, resume=self.resume, results=RESULTS)
        self.journal = stack.enter_context(contextlib.closing(journal))
        # Nobody else writes here: the journal is locked.
        if self.facts is not None:
            run_store.write_facts(self.folder, self.facts)
        remove_drafts(self.folder, age=0)
        for draft in (self.folder / table.FOLDER).rglob(".*.part"):
            draft.unlink()

    def _read_labels(self) -> RunLabels | None:
        """Return the labels, or those of the earlier run, under the names of the model's classes."""
        work, truth = self.work, self.labels
        if isinstance(truth, str | Path):
            truth = work.kind.read(truth)
        keys = [item.key for item in self.items]
        if truth is not None:
            truth = truth.among(keys, folder_of(self.items))
            work.kind.check(truth, keys)
        elif self.resume:
            truth = self._read_earlier_labels(keys)
        if truth is None:
            if self.resume:
                self._check_labels_not_lost()
            return None
        placed = label_sizes.place(truth, self.items)
        # Once placed they are kept so; a run that goes on may have more pictures.
        changed = placed.pictures != truth.pictures or placed.masks != truth.masks
        if self.labels is not None or changed:
            run_labels.write_labels(work.folder, placed)
        truth = placed
        if self.labels is not None:
            self._show_labels(truth)
        # Of a model that gives numbers labels are true numbers, and no names.
        classes = work.classes if work.kind.names_classes else ()
        return run_labels.match_names(truth, classes, run_labels.corrections(work.folder))

    def _show_labels(self, truth: GroundTruth) -> None:
        """Draw a few labelled pictures beside the table, for a person to see whether the labels were read right."""
        examples = label_examples.draw_examples(truth, self.items, self.work.classes)
        if examples:
            write_file(self.work.folder / label_examples.FILE, to_jpeg(label_examples.draw_sheet(examples)))
        if self.on_labels is not None:
            self.on_labels(run_labels.describe_reading(truth, self.work.kind))

    def _read_earlier_labels(self, keys: list[str]) -> GroundTruth | None:
        """Return the labels of the earlier run, matched to the pictures that there are now."""
        folder = self.work.folder
        if (earlier := run_labels.read_labels(folder)) is None:
            return None
        truth = earlier.among(keys, folder_of(self.items))
        if truth is not earlier:
            run_labels.write_labels(folder, truth)
        return truth

    def _check_labels_not_lost(self) -> None:
        """Raise Unreadable where the folder was evaluated by labels that it no longer has."""
        by_folders = self.work.kind.by_folders and any(item.label for item in self.items)
        if not by_folders and (self.work.folder / stored.FILE).is_file():
            raise Unreadable(
                f"{run_labels.FILE} in {self.folder} is missing, by which {stored.FILE} was made: put a copy of it "
                "back, give the labels again, or start over (on the command line: --restart)."
            )

    def execute(self) -> None:
        """Explain the pictures that no earlier run has explained."""
        self._started, items, done = time.monotonic(), self.items, self.journal.done
        pending = {item.key for item in items if (entry := done.get(item.key)) is None or entry.stamp != item.stamp}
        pending |= run_labels.find_lacking(self.work, self.journal, items)
        pending |= table.find_lost(self.folder, self.journal, items)
        finished = self._resumed = len(items) - len(pending)
        # By position in the source, not among what is left: an interrupted batch is repeated with the same pictures,
        # and so gives the same results to the last bit.
        chunks = (items[i : i + self._size] for i in range(0, len(items), self._size))
        batches = [batch for chunk in chunks if (batch := [item for item in chunk if item.key in pending])]
        # A run that is stopped has then seen pictures of all folders.
        random.Random(0).shuffle(batches)
        self._report(finished, "Starting")
        with contextlib.closing(self._engine.run(batches)) as results:
            for outcomes in results:
                self.journal.add(outcomes)
                finished += len(outcomes)
                self._report(finished, f"{finished:,} of {plural(len(items), 'picture')}")

    def _report(self, finished: int, words: str) -> None:
        if self.progress is not None:
            self.progress(finished / len(self.items), words)

    def finish(self) -> Summary:
        """Write the table and the evaluation of all pictures that are done."""
        self._report(len(self.items), "Writing the table")
        keys = [item.key for item in self.items]
        failed = table.write(self.folder, self.journal, keys, self.work.scores)
        # All pictures are explained: only the words go on.
        with reported_to(lambda _, words: self._report(len(self.items), words)):
            run_labels.write_evaluation(self.work, self.journal, self.items)
        stamps = [self.journal.done[key].stamp for key in keys if key in self.journal.done]
        if self.facts is not None:
            run_store.write_facts(self.folder, replace(self.facts, done=self.journal.count_settled(keys)))
        return Summary(
            self.folder,
            pictures=len(keys),
            done=len(stamps) - len(failed),
            resumed=self._resumed,
            failed=failed,
            seconds=time.monotonic() - self._started,
            cancelled=len(stamps) < len(keys),
            left_out=" ".join(filter(None, (describe_left_out(self.left_out), describe_encodings(self.items)))),
        )


def run(source: Any, model: str | Explainer, out: str | Path, **settings: Any) -> Summary:
    """Explain a source's pictures into files and a table in the folder `out`, as a `BatchJob` of these `settings`."""
    return BatchJob(source, model, out, **settings).run()
