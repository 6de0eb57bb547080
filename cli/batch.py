"""`batch`: a folder, a pattern, a list or an archive of pictures in one run that can be gone on with."""

from __future__ import annotations

import contextlib
import signal
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options as cli
from cli.console import Teller
from cli.image import woken
from common.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from explain.monitor import Monitor

STOPPED = 130
CLUSTER, WATCHING = "Past one machine", "Watching"
MOST = 5_000_000
"""Pictures that `--num-samples` takes its own from."""


def register(app: typer.Typer) -> None:
    cli.verb(
        app,
        "batch",
        """
        python -m explain batch photos/
        python -m explain batch "photos/**/*.jpg" --model efficientnet-lite1 --maps 3
        python -m explain batch photos.zip --question why --out run1
        python -m explain batch list.txt --model yolo11n --workers 4 --json
        python -m explain batch s3://bucket/photos --engine ray --ray-address auto --out s3://bucket/maps
        """,
    )(batch)


def batch(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="A folder (pictures in folders of their classes are labelled by them), a pattern in quotes, a text "
            "file with a path a line (and, after a tab, a label), a .zip, or pictures one by one; all but a .zip also "
            "in a storage, as s3://bucket/photos.",
        ),
    ],
    model: cli.Model = "efficientnet-lite0",
    question: cli.Question = None,
    method: cli.Method = None,
    target_layers: cli.Layers = None,
    part: cli.Part = None,
    class_: cli.Classes = None,
    maps: Annotated[
        int,
        typer.Option(
            "--maps",
            metavar="N",
            help="Maps a picture: of so many best classes \\[1].",
            rich_help_panel=cli.MAP,
            show_default=False,
        ),
    ] = 1,
    score_thr: cli.ScoreThr = None,
    preprocessing: cli.Preprocessing = None,
    words: cli.Words = None,
    device: cli.Device = "auto",
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Workers that decode, explain and write \\[one a core].", show_default=False),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Pictures in one pass of the model \\[8, on a GPU 32].", show_default=False),
    ] = None,
    num_samples: Annotated[
        int | None,
        typer.Option(
            "--num-samples",
            metavar="N",
            min=1,
            help="Only so many of the pictures, spread evenly over all of them \\[all].",
            show_default=False,
        ),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Start over: forget what an earlier run did.")] = False,
    engine: Annotated[
        str,
        typer.Option(
            metavar="plain|ray",
            help="This process, or the workers of a Ray cluster: the same results \\[plain].",
            rich_help_panel=CLUSTER,
            show_default=False,
        ),
    ] = "plain",
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="ADDRESS",
            help="Of --engine ray: auto, host:port or ray://host:port \\[one of this machine's own].",
            rich_help_panel=CLUSTER,
            show_default=False,
        ),
    ] = None,
    ray_gpus: Annotated[
        float,
        typer.Option(
            "--ray-gpus",
            metavar="N",
            help="Of --engine ray: GPUs a worker, where the cluster has any; 0.5 puts two workers on each \\[1].",
            rich_help_panel=CLUSTER,
            show_default=False,
        ),
    ] = 1.0,
    monitor: Annotated[
        Path | None,
        typer.Option(
            "--monitor",
            metavar="FOLDER",
            help="Also watch the run: what is odd is logged in this folder, with its map (see `watch`).",
            rich_help_panel=WATCHING,
            show_default=False,
        ),
    ] = None,
    monitor_threshold: Annotated[
        float,
        typer.Option(
            "--monitor-threshold",
            metavar="SCORE",
            min=0,
            max=1,
            help="With --monitor: a picture is odd where the model is less sure than this \\[0.5].",
            rich_help_panel=WATCHING,
            show_default=False,
        ),
    ] = 0.5,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Where the files go, a folder or one in a storage \\[explained/<source>].",
            rich_help_panel=cli.OUT,
            show_default=False,
        ),
    ] = None,
    json: cli.Json = False,
) -> int:
    """Thousands of pictures: each one's map as a file, and one table of predictions, scores and every statistic.

    A picture that cannot be read is named and passed over. A run that was stopped, or killed, goes on where it was
    when it is called again. In the folder there are maps/, results.csv, results.parquet and problems.csv.
    """
    from explain.batch import run
    from explain.batch.source import find, spread

    if engine != "ray" and ray_address is not None:
        raise ModelProblem("--ray-address is for --engine ray: give both, or none.")
    tell = Teller(json)
    watched = _monitor(monitor, monitor_threshold, source)
    given = cli.given(
        question=question,
        method=method,
        layers=target_layers,
        part=part,
        confidence=score_thr,
        preprocessing=preprocessing,
        vocabulary=words,
    )
    folder: str | Path = out or Path("explained") / _name(source)
    cancel = threading.Event()
    pictures: Any = source[0] if len(source) == 1 else source
    if num_samples is not None:
        pictures = spread(find(pictures, skip=folder, most=MOST), num_samples)
    with tell.at_work(f"Waking {model}") as bar, _stopping(cancel, tell):
        # In a cluster it is the workers that have the device.
        explainer = woken(model, "cpu" if engine == "ray" else device, bar)
        cli.checked(explainer, given)
        if class_:
            given["targets"] = tuple(class_) if words else cli.classes(class_, explainer.labels)
        done = run(
            pictures,
            explainer,
            folder,
            options=given,
            maps=maps,
            workers=workers,
            batch_size=batch_size,
            resume=not restart,
            progress=bar,
            cancel=cancel,
            device=device,
            engine=engine,
            address=ray_address,
            gpus=ray_gpus,
            watch=partial(watched.watch, source="batch") if watched else None,
        )
    for picture, sentence in done.failed:
        tell.complain(f"{picture}: {sentence}")
    tell.say(f"{done.words}, in {done.seconds:.0f} s.")
    tell.written(done.folder, _written(done.folder))
    if watched is not None:
        if engine == "ray" and isinstance(done.folder, Path) and not done.resumed:
            # The cluster's workers do not share a log: what the table says of their maps is looked through here.
            watched.look_through(done.folder, add=True)
        held = watched.state()
        tell.say(f"Watched {held.watched:,}: {held.odd:,} odd, {held.logged:,} logged in {held.folder}.")
        for problem in held.problems:
            tell.complain(problem)
    said: dict[str, Any] = {
        name: getattr(done, name) for name in ("folder", "pictures", "done", "resumed", "seconds", "cancelled")
    }
    tell.result(said | {"failed": [{"picture": picture, "error": sentence} for picture, sentence in done.failed]})
    return STOPPED if done.cancelled else 1 if done.failed else 0


def _monitor(folder: Path | None, threshold: float, source: list[str]) -> Monitor | None:
    if folder is None:
        return None
    for given in map(Path, source):
        if given.is_dir() and folder.resolve().is_relative_to(given.resolve()):
            raise ModelProblem(
                f"{folder} lies in {given}: its maps would be taken for pictures; choose another folder."
            )
    from explain.monitor import Monitor

    # Whoever explains a folder has asked for all of it: no more than rotation bounds what is logged.
    return Monitor(folder, threshold=threshold, per_minute=1_000_000)


def _written(folder: Path | str) -> list[str]:
    """What lies in the folder of results; of a storage what a run always leaves there."""
    if isinstance(folder, str):
        return ["journal", "maps", "results.csv", "results.parquet"]
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def _name(source: list[str]) -> str:
    """What a run's folder is called by itself: as its source, where that is one thing."""
    from explain.export.result_folder import plain

    only = Path(source[0])
    return plain(only.stem or only.absolute().name) if len(source) == 1 and only.exists() else "batch"


@contextlib.contextmanager
def _stopping(cancel: threading.Event, tell: Teller) -> Iterator[None]:
    """Ctrl-C ends the run in order, with what is done in the table; a second one ends it there and then."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        cancel.set()
        tell.complain("Stopping: what is begun is finished. Once more to stop at once.")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
