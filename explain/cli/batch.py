"""`batch`: a folder, a pattern, a list or an archive of pictures in one run that can be gone on with."""

from __future__ import annotations

import contextlib
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explain.cli import options as cli
from explain.cli.pictures import woken
from explain.cli.tell import Teller

if TYPE_CHECKING:
    from collections.abc import Iterator

STOPPED = 130


def register(app: typer.Typer) -> None:
    cli.verb(
        app,
        "batch",
        """
        python -m explain batch photos/
        python -m explain batch "photos/**/*.jpg" --model efficientnet-lite1 --maps 3
        python -m explain batch photos.zip --question why --out run1
        python -m explain batch list.txt --model yolo11n --workers 4 --json
        """,
    )(batch)


def batch(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="A folder (pictures in folders of their classes are labelled by them), a pattern in quotes, a text "
            "file with a path a line (and, after a tab, a label), a .zip, or pictures one by one.",
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
    out: cli.Out = None,
    json: cli.Json = False,
) -> int:
    """Thousands of pictures: each one's map as a file, and one table of predictions, scores and every statistic.

    A picture that cannot be read is named and passed over. A run that was stopped, or killed, goes on where it was
    when it is called again. In the folder there are maps/, results.csv, results.parquet and problems.csv.
    """
    from explain.folder import run
    from explain.folder.source import find, spread

    tell = Teller(json)
    given = cli.given(
        question=question,
        method=method,
        layers=target_layers,
        part=part,
        confidence=score_thr,
        preprocessing=preprocessing,
        vocabulary=words,
    )
    folder = out or Path("explained") / _name(source)
    cancel = threading.Event()
    pictures: Any = source[0] if len(source) == 1 else source
    if num_samples is not None:
        pictures = spread(find(pictures, skip=folder), num_samples)
    with tell.at_work(f"Waking {model}") as bar, _stopping(cancel, tell):
        explainer = woken(model, device, bar)
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
        )
    for picture, sentence in done.failed:
        tell.complain(f"{picture}: {sentence}")
    tell.say(f"{done.words}, in {done.seconds:.0f} s.")
    tell.written(folder, sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")))
    said: dict[str, Any] = {
        name: getattr(done, name) for name in ("folder", "pictures", "done", "resumed", "seconds", "cancelled")
    }
    tell.result(said | {"failed": [{"picture": picture, "error": sentence} for picture, sentence in done.failed]})
    return STOPPED if done.cancelled else 1 if done.failed else 0


def _name(source: list[str]) -> str:
    """What a run's folder is called by itself: as its source, where that is one thing."""
    from explain.files import plain

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
