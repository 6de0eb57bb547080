"""`video`: explain a clip."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sightglass.cli import options as cli
from sightglass.cli.batch import STOPPED, stop_on_interrupt
from sightglass.cli.console import Console
from sightglass.cli.pictures import EXAMPLE_USED, load_explainer
from sightglass.common.files import Json, file_stem
from sightglass.video import clip as video_clip
from sightglass.video import results, runner

SHOWN = 20
"""Moments that are printed; the file has all."""


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
        summary = runner.run(
            video_clip.Clip(path),
            explainer,
            folder,
            options=cli.with_classes(engine_options, explainer),
            settings=chosen,
            resume=not options.restart,
            progress=progress,
            cancel=cancel,
        )
    _report(console, summary)
    return STOPPED if summary.cancelled else 0


def _report(console: Console, summary: results.Summary) -> None:
    console.say(f"{summary.words}.")
    console.warn(*summary.notes)
    rows = [(results.clock(moment.seconds), f"{moment.frame:,}", moment.words) for moment in summary.moments[:SHOWN]]
    console.table(("time", "frame", "moment"), rows, right=("time", "frame"))
    if more := len(summary.moments) - len(rows):
        console.say(f"And {more:,} more: timeline.json has all.")
    if not summary.cancelled:
        console.files(summary.folder, [summary.clip.name, "timeline.csv", "timeline.json"])
    result: Json = {"folder": summary.folder, "cancelled": summary.cancelled, **summary.facts}
    console.result(result | {"seconds": summary.seconds, "moments": [vars(moment) for moment in summary.moments]})
