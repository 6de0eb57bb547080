"""`batch` and `video`: explain many pictures, or a clip, in one resumable run."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightglass import history
from sightglass.batch import finished, labels, relabel, run_store, runner, table
from sightglass.cli import options as cli
from sightglass.cli.console import EXAMPLE_USED, STANDARD_INPUT, Console, load_explainer
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import Json, jsonable, to_json, write_file
from sightglass.common.names import file_stem
from sightglass.common.settings import settings
from sightglass.common.work.progress import Progress
from sightglass.evaluation import kinds, stored
from sightglass.evaluation.ground_truth import GroundTruth
from sightglass.evaluation.label_files import options as label_options
from sightglass.explain.options import Options
from sightglass.explain.phrases import listing, percent, plural
from sightglass.explain.picture import source as picture_source
from sightglass.models import labels as models_labels
from sightglass.report import result_folder
from sightglass.video import clip as video_clip
from sightglass.video import results
from sightglass.video import runner as video_runner
from sightglass.video.timeline import clock

if TYPE_CHECKING:
    from sightglass.batch.labels import LabelMatch
    from sightglass.evaluation.decision import Decision, Verdict
    from sightglass.evaluation.errors import EvaluationSummary
    from sightglass.explain.explainer import Explainer

STOPPED = 130
"""Exit code of a run that Ctrl-C stopped."""
PROBLEMS = 10
"""Problems of labels that are printed."""
LISTED = 8
"""Classes that are printed."""
MOMENTS = 20
"""Moments of a clip that are printed; the file has all."""


@dataclass(frozen=True, kw_only=True)
class BatchOptions(cli.CheckOptions, cli.DrawOptions, cli.ModelOptions):
    restart: bool = cli.field("--restart", "Start over instead of resuming an earlier run.", default=False)
    num_samples: int | None = cli.field("--num-samples N", "Explain only N pictures, spread evenly [all].", min=1)
    workers: int | None = cli.field("--workers N", "Parallel workers [one per core].", min=1)
    batch_size: int | None = cli.field(
        "--batch-size N", "Pictures in one pass of the model [4; 32 on a GPU].", cli.RARE, min=1
    )
    engine: str = cli.field("--engine plain|ray", "This process, or a Ray cluster [plain].", cli.RARE, default="plain")
    ray_address: str | None = cli.field(
        "--ray-address ADDRESS", "host:port or ray://host:port [the cluster of this machine].", cli.RARE
    )
    ray_gpus: float = cli.field("--ray-gpus N", "GPUs per worker [1].", cli.RARE, default=1.0)
    maps: int = cli.field("--maps N", "Maps per picture, for its N best classes [1].", cli.MAP, default=1, min=1)
    labels: Path | None = cli.field("--labels PATH", "COCO, CSV, YOLO, VOC and others, PNG masks, or a .zip of them.")
    labels_as: list[str] | None = cli.field(
        "--labels-as NAME=VALUE", "How to read labels that can be read in several ways, as decimal=comma.", cli.RARE
    )
    match: list[str] | None = cli.field("--match LABEL=CLASS", "What a label or folder counts as; LABEL=: nothing.")
    instead_of: Path | None = cli.field("--instead-of FOLDER", "A labelled run, whose model this one is to replace.")
    tolerance: float | None = cli.field(
        "--tolerance POINTS", "AP or accuracy to lose at most [2].", cli.RARE, min=0.1, max=100
    )
    require: str | None = cli.field(
        "--require VERDICT", "Exit code 3 unless the verdict is ship, do-not-ship or cannot-be-told.", cli.RARE
    )
    size: int = cli.field(
        "--size PIXELS", "Longest side of the written pictures; 0 keeps it [320].", cli.RARE, default=320, min=0
    )
    out: str | None = cli.field("--out -o FOLDER", "Folder of the results [explained/<source>].", cli.OUT)


OTHER_VERDICT = 3
"""The exit code where a decision is not the required one."""


@cli.verb(
    cli.app,
    "batch",
    """
    sightglass batch photos/ --maps 3 --match "bus=school bus" --match holidays=
    sightglass batch photos.zip -m demo-s --labels boxes.csv --out run1
    """,
)
def batch(
    source: Annotated[list[str], typer.Argument(metavar="SOURCE", help="A folder, pattern or .zip, or pictures.")],
    engine_options: cli.EngineOptions,
    options: BatchOptions,
) -> int:
    """Explain thousands of pictures into one table of predictions, scores and statistics.

    A run that was stopped or killed resumes when it is called again. The folder gets a map of each picture and
    results.csv; with --labels the answers are measured against them, in evaluation.csv and evaluation.json.
    """
    started = time.monotonic()
    _check_flags(source, options)
    console, cancel, saved = Console(options.json), threading.Event(), set[str | None]()
    # In a cluster the pictures are elsewhere.
    below = 0.0 if options.engine == "ray" else settings().save_below
    # Read first, so that a wrong folder ends no run.
    replaced = [options.instead_of] if options.instead_of is not None else []
    for folder in replaced:
        _check_decidable(folder)
    with console.progress(f"Loading {options.model}") as progress, stop_on_interrupt(cancel, console):
        job = _make_job(source, engine_options, options, progress)
        job.cancel = cancel
        job.on_labels = lambda sentences: console.say(*sentences)
        job.on_explained = (lambda explanation: saved.add(history.save_as_set(explanation))) if below else None
        done = job.run()
    failed = [{"picture": picture, "error": sentence} for picture, sentence in done.failed]
    console.warn(*(f"{picture}: {sentence}" for picture, sentence in done.failed))
    again = "; add --restart to explain again" if done.nothing_new else f", in {time.monotonic() - started:.0f} s"
    console.say(f"{done.words}{again}.", *filter(None, [done.left_out]))
    numbers = ("folder", "pictures", "done", "resumed", "seconds", "cancelled", "left_out")
    result: Json = {name: getattr(done, name) for name in numbers}
    if done.done:
        if replaced:
            relabel.share_changes([done.folder, *replaced])
        result |= _report_evaluation(console, done.folder)
        if replaced and done.cancelled:
            console.say("Not decided: the run was stopped.")
        elif replaced:
            decision = _decide([done.folder, *replaced], options.tolerance)
            console.say(f"{decision.headline}. {decision.words}")
            result["decision"] = jsonable(decision.summarise())
        write_file(done.folder / "summary.json", to_json(result).encode())
    console.files(done.folder, sorted(path.name for path in done.folder.iterdir() if not path.name.startswith(".")))
    if below:
        console.say(f"{plural(len(saved - {None}), 'unsure answer')} below {percent(below)} in the history.")
    console.result(result | {"failed": failed})
    if done.cancelled:
        return STOPPED
    if failed:
        return 1
    return _judge(result.get("decision"), options.require)


def _name_verdicts() -> dict[str, Verdict]:
    """Return the verdicts by their names on a command line."""
    # It imports torch.
    from sightglass.evaluation.decision import VERDICTS

    return {verdict.replace(" ", "-"): verdict for verdict in VERDICTS}


def _judge(decision: Json | None, required: str | None) -> int:
    """Return the exit code: whether the decision is the required one."""
    if required is None:
        return 0
    if decision is None or decision["stopped"]:
        return OTHER_VERDICT
    return 0 if _name_verdicts()[required] == decision["kind"] else OTHER_VERDICT


def _check_decidable(folder: Path) -> None:
    """Raise Problem for a run that no decision can be about: without an evaluation, or of numbers."""
    is_run = (folder / table.PARQUET).is_file()
    if is_run and not kinds.kind_of(table.read_scores(folder).task).names_classes:
        raise Problem(f"A decision is between detectors or between classifiers: {folder} has a run of numbers.")
    stored.load(folder)


def _check_flags(source: Sequence[str], options: BatchOptions) -> None:
    """Raise ModelProblem for standard input, and for a flag without the one that it needs."""
    if STANDARD_INPUT in source:
        raise ModelProblem("A run reads no standard input (-): give a folder, a .zip, or a list as $(cat list.txt).")
    if str(options.labels) == STANDARD_INPUT:
        raise ModelProblem("--labels reads no standard input (-): write the labels into a file, and give its path.")
    if options.engine != "ray" and options.ray_address is not None:
        raise ModelProblem("--ray-address needs --engine ray: give both, or none.")
    if options.tolerance is not None and options.instead_of is None:
        raise ModelProblem("--tolerance needs --instead-of FOLDER: give both, or none.")
    if options.require is not None and options.instead_of is None:
        raise ModelProblem("--require needs --instead-of FOLDER: give both, or none.")
    if options.require is not None and options.require not in (verdicts := _name_verdicts()):
        raise ModelProblem(f"--require takes one of {', '.join(verdicts)}, not {options.require}.")


def _decide(folders: Sequence[Path], tolerance: float | None) -> Decision:
    """Return whether the first run's model may replace the others; `tolerance`: points to lose, None for the usual."""
    decision = finished.decide_runs({folder: stored.load(folder) for folder in folders})
    candidate = decision.rows[0].model
    if tolerance is None:
        return decision.choose(candidate)
    return decision.choose(candidate, tolerance=tolerance / 100)


def _make_job(
    source: list[str], engine_options: cli.EngineOptions, options: BatchOptions, progress: Progress
) -> runner.BatchJob:
    """Load the model, read the labels and return the run that a command line asks for."""
    folder: str | Path = options.out or _choose_folder(source)
    pictures: Any = source[0] if len(source) == 1 else source
    left_out: dict[str, str] = {}
    find = partial(picture_source.find, skip=folder, most=runner.MAX_PICTURES, left_out=left_out)
    everything: list[picture_source.Item] = []
    if options.num_samples is not None:
        everything = find(pictures)
        pictures = picture_source.spread(everything, options.num_samples)
    given = options.labels
    names = given if given is not None and _names_classes(given) else None
    # In a cluster the workers have the device.
    device = "cpu" if options.engine == "ray" else options.device
    explainer = load_explainer(options.model, device, progress, engine_options, labels=names)
    cli.check_box_flags(explainer.model, engine_options, options.like)
    truth = None
    if given is None and options.labels_as:
        raise ModelProblem("--labels-as says how labels are read: give --labels, too.")
    if given is not None and names is None:
        truth = _read_labels(given, options.labels_as or (), explainer, everything)
    # Where results cannot be written, the run says so.
    here = picture_source.local_path(str(folder))
    if options.match and here is not None:
        pictures = find(pictures)
        earlier = None if options.restart else labels.read_labels(here)
        labelled = truth or earlier or labels.label_by_folders(pictures)
        _correct_labels(here, options.match, labelled, explainer, engine_options)
    return runner.BatchJob(
        pictures,
        explainer,
        folder,
        options=engine_options,
        facts=run_store.describe_run(source, options.model, engine_options, Path(folder)),
        maps=options.maps,
        workers=options.workers,
        batch_size=options.batch_size,
        style=options.style(),
        side=options.size or None,
        labels=truth,
        left_out=left_out,
        resume=not options.restart,
        progress=progress,
        device=options.device,
        engine=options.engine,
        address=options.ray_address,
        gpus=options.ray_gpus,
    )


def _choose_folder(source: list[str]) -> Path:
    """Return where results go if no folder is named: by the only source's name."""
    only = Path(source[0])
    named = len(source) == 1 and only.exists()
    return Path("explained") / (result_folder.source_stem(only) if named else "batch")


def _names_classes(path: Path) -> bool:
    """Return whether a mapping names the model's classes, and not what is in the pictures: `{"a.jpg": 3}`."""
    if not models_labels.is_mapping(path):
        return False
    content = models_labels.read_file(path)
    return not any(str(name).lower().endswith(picture_source.PICTURES) for name in content)


def _read_labels(
    path: Path, labels_as: Sequence[str], explainer: Explainer, items: Sequence[picture_source.Item]
) -> GroundTruth:
    """Read labels; `items`: of a run over some of them all, as a label may be of another one."""
    truth = kinds.kind_of(explainer.model).read(path, label_options.parse(labels_as))
    if not items:
        return truth
    return truth.among([item.key for item in items], picture_source.folder_of(items))


def _correct_labels(
    folder: Path, matches: list[str], labelled: GroundTruth, explainer: Explainer, engine_options: cli.EngineOptions
) -> None:
    """Write beside the results what labels count as."""
    words = Options(vocabulary=engine_options.get("vocabulary", ()))
    known = explainer.with_vocabulary(explainer.loaded, words, None).adapter.labels
    labels.correct(folder, _parse_matches(matches, known, labelled.classes))


def _parse_matches(texts: list[str], known: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Return the classes of each label named in `--match`; none: not counted."""
    matches: dict[str, list[str]] = {}
    for text in texts:
        name, equals, class_ = text.partition("=")
        if not equals:
            raise ModelProblem(f"--match {text} does not say which class: write LABEL=CLASS, or LABEL= for none.")
        same = models_labels.find_same(name, tuple(names))
        if len(same) != 1:
            known_names = f"the labels are {listing(names, labels.NAMED)}" if names else "no picture has a label"
            raise ModelProblem(f"No label is called {name}: {known_names}.")
        matches.setdefault(names[same[0]], []).extend([labels.find_class(class_, known)] if class_ else [])
    return matches


def _report_evaluation(console: Console, folder: Path) -> Json:
    """Print and return a run's evaluation against its labels."""
    scores, truth = table.read_scores(folder), labels.read_labels(folder)
    files = _report_label_files(console, truth) if truth is not None else {}
    kind = kinds.kind_of(scores.task)
    if not kind.names_classes:
        return files | _report_numbers(console, folder, scores.unit)
    names = _report_names(console, folder)
    lines = [problem.words for problem in truth.problems] if truth is not None else []
    console.warn(*lines, most=PROBLEMS, rest="lines of the labels; summary.json has all")
    known: Json = {"labels": {name.label: list(name.classes) for name in names}, "label_problems": lines} | files
    if truth is not None:
        known["labels_read"] = truth.read_as.summarise()
    if not (folder / stored.FILE).is_file():
        # No label counts.
        return known if names else {}
    evaluation = labels.load_summary(folder)
    console.say(" ".join(f"{line}." for line in (evaluation.headline, *evaluation.label_sentences)))
    pictures = (f"{picture}: {why}." for picture, why in evaluation.problems)
    console.warn(*pictures, most=PROBLEMS, rest="pictures; summary.json has all")
    _report_classes(console, evaluation, kind.number)
    return known | {"evaluation": evaluation.to_dict()}


def _report_numbers(console: Console, folder: Path, unit: str) -> Json:
    """Print and return the errors of a model that answers numbers; empty without any."""
    errors = finished.measure_numbers(finished.load(folder), run_store.is_stopped(folder))
    if errors is None:
        return {}
    console.say(f"{errors.describe(unit)}.")
    return {"errors": jsonable(asdict(errors))}


def _report_names(console: Console, folder: Path) -> Sequence[LabelMatch]:
    """Return how labels were matched with classes; print those that do not count."""
    names, corrections = labels.match_run(folder), labels.corrections(folder)
    left_out = labels.describe_not_counted([name for name in names if name.label not in corrections])
    if left_out:
        console.say(f"{left_out} Say what they are with --match LABEL=CLASS.")
    return names


def _report_classes(console: Console, evaluation: EvaluationSummary, number: str) -> None:
    """Print the lowest classes, and a detector's errors by kind.

    `number`: what the score of a class is called.
    """
    classes = evaluation.list_classes()
    interval = "pictures" if evaluation.stopped else f"{number}, 95 %"
    console.table(("class", number, interval), classes[:LISTED], right=(number, interval))
    if len(classes) > LISTED:
        console.say(f"The {LISTED} lowest of {len(classes)} classes; summary.json has all.")
    if evaluation.errors:
        objects, threshold = plural(evaluation.objects, "object"), percent(evaluation.threshold)
        console.say(f"{evaluation.right:,} of {objects} found at the threshold of {threshold}. Errors:")
        rows = [(kinds.TYPE_NAMES[id_], f"{count:,}") for id_, count in evaluation.errors.items()]
        console.table(("error", "count"), rows, right=("count",))


def _report_label_files(console: Console, truth: GroundTruth) -> Json:
    """Print and return the labelled files that count for no picture."""
    pictures = tuple(truth.matches or ())
    console.say(*labels.describe_files(truth, pictures))
    return {"label_files": {"missing": truth.find_missing(pictures), "unclear": truth.unclear}}


@contextlib.contextmanager
def stop_on_interrupt(cancel: threading.Event, console: Console, what: str = "pictures") -> Iterator[None]:
    """End the run in order on the first Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        cancel.set()
        console.warn(f"Stopping after the {what} in progress. Press Ctrl-C again to stop at once.")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True, kw_only=True)
class VideoOptions(cli.OutputOptions, cli.ModelOptions):
    every: int = cli.field("--every N", "Explain every N-th frame only [1].", cli.MAP, default=1)
    start: float = cli.field("--start SECONDS", "Begin here [0].", cli.MAP, default=0.0)
    end: float | None = cli.field("--end SECONDS", "End before this time [the clip's end].", cli.MAP)
    objects: int = cli.field("--objects N", "Objects that get a map in each frame [3].", cli.BOXES, default=3)
    object_: int | None = cli.field("--object N", "Follow the one object with this number.", cli.BOXES)
    size: int = cli.field("--size PIXELS", "Longest side of the clip; 0 keeps it [1280].", cli.OUT, default=1280, min=0)
    restart: bool = cli.field("--restart", "Start over instead of resuming.", cli.OUT, default=False)


@cli.verb(
    cli.app,
    "video",
    """
    sightglass video scene.mp4 --model demo-s --every 3 --out scene
    sightglass video clip.mp4 --class minibus --start 0.2 --end 1
    """,
)
def video(
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="A video file: MP4, MOV, WebM, MKV, GIF or AVI.")],
    engine_options: cli.EngineOptions,
    options: VideoOptions,
) -> int:
    """Show where a model looks in a clip, with a timeline and the moments of change.

    The folder gets overlay.mp4, timeline.csv and timeline.json. A detector's objects keep their numbers from frame to
    frame. A run that was stopped or killed resumes when it is called again.
    """
    chosen = results.Settings(
        every=options.every,
        start=options.start,
        end=options.end,
        objects=options.objects,
        only=options.object_,
        side=options.size,
        style=options.style(),
    )
    console, cancel = Console(options.json), threading.Event()
    folder = options.out or Path("explained") / file_stem(Path(clip).stem, otherwise="clip")
    with console.progress("Reading the clip") as progress, stop_on_interrupt(cancel, console, "frames"):
        path = video_clip.find_clip(clip)
        if path != Path(clip):
            console.warn(EXAMPLE_USED.format(clip))
        explainer = load_explainer(options.model, options.device, progress, engine_options)
        cli.check_box_flags(explainer.model, engine_options, options.like)
        summary = video_runner.run(
            video_clip.Clip(path),
            explainer,
            folder,
            options=engine_options,
            settings=chosen,
            resume=not options.restart,
            progress=progress,
            cancel=cancel,
        )
    _report_moments(console, summary)
    return STOPPED if summary.cancelled else 0


def _report_moments(console: Console, summary: results.Summary) -> None:
    console.say(f"{summary.words}.")
    console.warn(*summary.notes)
    rows = [(clock(moment.seconds), f"{moment.frame:,}", moment.words) for moment in summary.moments[:MOMENTS]]
    console.table(("time", "frame", "moment"), rows, right=("time", "frame"))
    if more := len(summary.moments) - len(rows):
        console.say(f"And {more:,} more: timeline.json has all.")
    if not summary.cancelled:
        console.files(summary.folder, [summary.clip.name, "timeline.csv", "timeline.json"])
    result: Json = {"folder": summary.folder, "cancelled": summary.cancelled, **summary.facts}
    console.result(result | {"seconds": summary.seconds, "moments": [vars(moment) for moment in summary.moments]})
