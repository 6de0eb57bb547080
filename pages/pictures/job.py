"""Run one or several models over many pictures in a thread; open earlier runs."""

import contextlib
import hashlib
import json
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Self

from sightglass import batch
from sightglass.batch import Summary, journal, labels, run_store, table, uploads
from sightglass.batch.finished import write_times
from sightglass.batch.run_store import RunFacts, RunPlan
from sightglass.batch.uploads import Source
from sightglass.common.errors import Problem
from sightglass.common.names import file_stem
from sightglass.common.settings import settings
from sightglass.common.work.progress import Progress
from sightglass.evaluation.ground_truth import GroundTruth
from sightglass.evaluation.label_files.options import LabelOptions
from sightglass.explain import Explainer
from sightglass.explain.comparison.times import all_steady, measure_in_turns
from sightglass.explain.phrases import plural
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.source import open_one
from sightglass.ui.session.jobs import background
from sightglass.ui.session.jobs.background import Job
from sightglass.ui.session.state import Kept


class PicturesJob(Job["list[Summary]"]):
    """Several models' runs over the same pictures, one after the other in a thread; or a finished run of before."""

    def __init__(
        self,
        source: Source,
        plans: tuple[RunPlan, ...],
        *,
        labels: GroundTruth | None = None,
        resume: bool = True,
        stopped: bool = False,
        read: int | None = None,
        example: bool = False,
    ) -> None:
        """Start the runs, or the reading of their results. Raises ModelProblem where results cannot be written.

        `labels`: what is in the pictures; None: those of an earlier run in the same folders, if it has any.
        `stopped`: show what was done and run nothing. `read`: the number of pictures of a finished run, whose results
        are read and not made. `example`: the packaged one, whose results cannot be changed.
        """
        self.source, self.plans, self.labels, self.example = source, plans, labels, example
        if read is not None:
            super().__init__(partial(_read_results, plans, read), reads=True)
        else:
            # From now on its folder is its address.
            with journal.writing(plans[0].folder):
                run_store.claim(
                    RunFacts(source=(source.path,), name=source.name, plans=plans, pictures=len(source.items))
                )
            super().__init__(partial(_run, source, plans, labels, resume, stopped), name=plans[0].folder)

    @property
    def ready(self) -> list[RunPlan]:
        """Return the plans whose results can be shown."""
        return [
            plan
            for plan, summary in zip(self.plans, self.result or (), strict=False)
            if summary.done and (plan.folder / table.PARQUET).is_file()
        ]

    @property
    def paused(self) -> bool:
        """Return whether it was stopped before all pictures were explained."""
        return any(summary.cancelled for summary in self.result or ())

    def open_picture(self, key: str) -> Image:
        """Decode a picture; raise ImageProblem."""
        return open_one(self.source.items, key)


def _run(
    source: Source,
    plans: tuple[RunPlan, ...],
    truth: GroundTruth | None,
    resume: bool,
    stopped: bool,
    *,
    progress: Progress,
    cancel: Event,
    **_: Any,
) -> list[Summary]:
    """Run the plans one after the other until one is cancelled, and time their models."""
    summaries: list[Summary] = []
    pictures = len(source.items)
    stop = threading.Event() if stopped else cancel
    if stopped:
        # A run that is stopped at once writes the table of what was done.
        stop.set()
    for number, plan in enumerate(plans):
        # The first run is listed with all others.
        facts = RunFacts(source=(source.path,), name=source.name, plans=(plan,) if number else plans)
        report = partial(_report_part, progress, number, plans)
        run = partial(batch.run, source.items, plan.model, plan.folder, options=plan.options, labels=truth)
        run = partial(run, progress=report, cancel=stop, resume=resume, facts=facts)
        nothing = batch.Summary(plan.folder, pictures, 0, 0, (), 0.0, cancelled=True)
        follow = partial(_follow_other_run, plan, pictures)
        summaries.append(background.wait_for_folder(run, follow, report, cancel) or nothing)
        if summaries[-1].cancelled:
            return summaries
    if len(plans) > 1:
        progress(1.0, "Measuring the times")
        with contextlib.suppress(Problem, OSError):
            _measure_times(plans, source.items[0].open())
    return summaries


def _report_part(progress: Progress, number: int, plans: Sequence[RunPlan], share: float, words: str) -> None:
    """Report the progress of one of several plans as that of all."""
    progress((number + share) / len(plans), (f"{plans[number].model}: " if len(plans) > 1 else "") + words)


def _follow_other_run(plan: RunPlan, pictures: int) -> tuple[float, str]:
    """Return how far another process is that runs the plan: share and words."""
    count = journal.count_done(plan.folder)
    return count / pictures, f"{count:,} of {plural(pictures, 'picture')}, in another run"


def _measure_times(plans: Sequence[RunPlan], image: Image) -> None:
    """Time the models on a picture in turns, as Compare does; keep the milliseconds beside their tables."""
    times = measure_in_turns([Explainer(plan.model)(image, maps=False).evidence for plan in plans])
    steady = all_steady(times)
    for plan, timing in zip(plans, times, strict=True):
        write_times(plan.folder, [timing.fastest, timing.median, timing.slowest] if steady else [])


def _read_results(plans: tuple[RunPlan, ...], pictures: int, **_: Any) -> list[Summary]:
    summaries = []
    for plan in plans:
        journal.settings_of(plan.folder)
        done = table.read(plan.folder)["picture"].nunique()
        failed = table.read_problems(plan.folder)
        summaries.append(batch.Summary(plan.folder, pictures, done, 0, failed, 0.0, cancelled=False))
    return summaries


@dataclass
class PicturesPage(Kept):
    """What the session remembers of the page."""

    source: Source | None = None
    """The pictures that were chosen, of this session."""
    truth: GroundTruth | None = None
    """The labels that were chosen, for the next run."""
    job: PicturesJob | None = None
    read: bool = False
    """Whether the address was read."""
    matches: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What labels count as, said before the run."""
    opened: str = ""
    """The picture in the panel, and the error in it that was clicked."""
    unit: str = ""
    place: int = -1
    """The index of its tile, also once it has left the tiles; -1 before it was among them."""
    drops: int = 0
    """Counts what was dropped: a new field is empty."""
    by_folder: bool = False
    """Whether a click on the field chooses a folder."""
    labels_as: LabelOptions = field(default_factory=LabelOptions)
    """How labels that can be read in several ways are read."""
    asked: bool = False
    """Whether labels were refused, so that another way of reading them is offered."""
    run: str = ""
    upload: str = ""
    """The run or the upload that a reload finds again, as the address has it."""

    def kept(self) -> Self:
        """Return the choices, and the names of what is read from the disk again."""
        waiting = self.truth if self.source is None else None
        choices: dict[str, Any] = {
            "truth": waiting,
            "matches": {**self.matches},
            "by_folder": self.by_folder,
            "labels_as": self.labels_as,
        }
        return type(self)(run=self.run_name() or self.run, upload=self.upload_name() or self.upload, **choices)

    def run_name(self) -> str | None:
        """Return the name of the shown run; None without one of a person's own."""
        return None if self.job is None or self.job.example else self.job.plans[0].folder.name

    def upload_name(self) -> str | None:
        """Return where the chosen pictures are among the uploads.

        None where none are chosen, where they are no uploads, and where they were run.
        """
        home = uploads.uploads_home()
        if self.source is None or self.job is not None or home not in Path(self.source.path).parents:
            return None
        return str(Path(self.source.path).relative_to(home))

    def show(self, job: PicturesJob | None) -> None:
        """Show another run, or none."""
        self.job, self.opened, self.place = job, "", -1


def folder_for(source: Source, model: str, options: Mapping[str, Any]) -> Path:
    """Return the folder of a run's results, the same for the same choices, so that it is resumed."""
    digest = hashlib.sha256(json.dumps([source.path, model, options], default=str, sort_keys=True).encode())
    name = file_stem(source.name.replace("_", "-"), max_bytes=40)
    return settings().batches / f"{name}-{model.replace('/', '-')}-{digest.hexdigest()[:10]}"


def list_earlier() -> list[RunFacts]:
    """Return the newest of the earlier runs, newest first."""
    return run_store.list_runs(settings().batches)[: run_store.MAX_LISTED]


def has_earlier() -> bool:
    """Return whether there are earlier runs, also such as cannot be read."""
    return bool(list_earlier() or run_store.list_unreadable(settings().batches))


def find_running(plans: Sequence[RunPlan]) -> PicturesJob | None:
    """Return the job that makes these results now, in any window."""
    running: PicturesJob | None = background.SHARED.get(plans[0].folder)
    if running is None or running.finished():
        return None
    # A folder's name tells the options apart.
    return running if [plan.folder for plan in running.plans] == [plan.folder for plan in plans] else None


def open_run(name: str) -> PicturesJob | None:
    """Return the job of a folder of results; None without it."""
    folder = settings().batches / name
    facts = run_store.read_facts(folder) if folder.name == name and not name.startswith(".") else None
    return None if facts is None else reopen(facts, stopped=True)


def reopen(facts: RunFacts, *, stopped: bool = False) -> PicturesJob:
    """Return the job of a run, which goes on with what is left unless `stopped`; raise Problem without its pictures."""
    if (running := find_running(facts.plans)) is not None:
        return running
    if not run_store.is_finished(facts):
        return PicturesJob(uploads.open_source(facts.source[0], facts.name), facts.plans, stopped=stopped)
    try:
        source = uploads.open_source(facts.source[0], facts.name)
    except Problem:
        # The results are there all the same.
        source = Source((), facts.name, facts.source[0])
    return PicturesJob(source, facts.plans, read=facts.pictures)


def delete(facts: RunFacts) -> None:
    """Delete the results of a run, and its pictures if they were uploaded for it alone."""
    for plan in facts.plans:
        shutil.rmtree(plan.folder, ignore_errors=True)
    others = [other.source for other in run_store.list_runs(settings().batches)]
    # A run that cannot be read may be over the same pictures.
    if facts.source not in others and not run_store.list_unreadable(settings().batches):
        uploads.delete_upload(facts.source[0])


def open_example() -> PicturesJob:
    """Return the packaged run of three models."""
    facts = run_store.read_example()
    return PicturesJob(uploads.open_source(facts.source[0], facts.name), facts.plans, read=facts.pictures, example=True)


def correct(job: PicturesJob, name: str, classes: Sequence[str]) -> PicturesJob:
    """Let a label count as classes in all runs of a job; return the job that counts anew. Raises Problem."""
    if not job.source.items:
        raise Problem("The pictures of this run are not here any more: drop them again to count their labels anew.")
    for plan in job.plans:
        labels.correct(plan.folder, {name: classes})
    return PicturesJob(job.source, job.plans)
