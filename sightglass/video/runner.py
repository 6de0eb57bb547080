"""Explain a clip in a resumable run.

What the model saw is written in parts, whole or not at all. A resumed run makes only the parts that are missing, and
draws and encodes the clip anew; so it gives the same files. The journal has the settings.
"""

import contextlib
import copy
import itertools
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TextIO

from sightglass.batch.engines import list_settings
from sightglass.batch.journal import Journal, writing
from sightglass.common.errors import Cancelled, ImageProblem, ModelProblem, Unreadable
from sightglass.common.files import Json, remove_drafts, to_json
from sightglass.common.files.keeping import set_aside_unreadable
from sightglass.common.work.progress import Progress
from sightglass.common.work.threads import in_order, processor_cores, read_ahead, torch_pool
from sightglass.explain.explainer import Explainer
from sightglass.explain.phrases import plural
from sightglass.explain.picture.decode import Pixels
from sightglass.video import draw, records, timeline
from sightglass.video.clip import Clip, Frame, find_clip
from sightglass.video.frames import BYTES, ClipExplainer
from sightglass.video.records import FrameRecord
from sightglass.video.results import CLIP, Settings, Summary, read_result
from sightglass.video.timeline import TIMELINE_CSV, TIMELINE_JSON

PART = 64
"""Frames that the model saw in one part: about what is lost by a kill."""
PARTS_AHEAD, FRAMES_AHEAD = 2, 16
"""Parts that the model may be ahead of drawing, and decoded frames that wait, at most."""
WORK, ROWS = "work", "rows.jsonl"
"""Folder of the parts, which is removed at the end, and the file of the timeline's rows in it."""
RESULTS = (CLIP, TIMELINE_JSON, WORK)
"""Results that a folder has only after its journal."""
PREVIEW_EVERY = 0.5
"""Seconds between two frames that are shown while the model works, at least."""
Preview = Callable[[float, Pixels], None]
"""Takes the seconds of a frame in the clip, and the frame under its map."""


def run(
    source: str | Path | Clip,
    model: str | Explainer,
    out: str | Path,
    *,
    options: dict[str, Any] | None = None,
    settings: Settings | None = None,
    device: str = "auto",
    resume: bool = True,
    progress: Progress | None = None,
    preview: Preview | None = None,
    cancel: threading.Event | None = None,
) -> Summary:
    """Explain a clip: write `overlay.mp4`, `timeline.csv` and `timeline.json` into a folder.

    `source`: a file, or the bundled clip `scene.mp4`, where there is no file of that name.
    `options`: as for an Explainer's call, including `question`; `targets` pins a class. `resume` False: start over.
    `progress` receives the share that is done, and what is being done; `preview` the newest frame that was explained,
    under its map before it is smoothed, at most every `PREVIEW_EVERY` seconds. Setting `cancel` ends the run after the
    frames in progress; the next one goes on from there. Raises ImageProblem for a file that is no video, ModelProblem
    if the model or an option is not valid, or if `out` holds results of other settings or another clip.

    >>> run("scene.mp4", "demo-s", "out/").words
    '90 frames explained; 10 moments'
    """
    # A copy, since reading changes it.
    clip = copy.copy(source) if isinstance(source, Clip) else Clip(find_clip(source))
    settings, folder = settings or Settings(), Path(out)
    if settings.start >= (clip.about.seconds or float("inf")):
        raise ImageProblem(f"{clip.name} is {clip.about.seconds:.1f} s long: give a range that begins before its end.")
    explainer = model if isinstance(model, Explainer) else Explainer(model, device=device)
    clip_explainer = ClipExplainer(explainer, options or {}, settings, cancel)
    model_facts = list_settings(clip_explainer.loaded, clip_explainer.options, clip_explainer.layers)
    facts = {"clip": clip.stamp(), **model_facts, **settings.facts}
    with writing(folder), contextlib.closing(clip_explainer):
        journal = Journal(folder, facts, resume=resume, results=RESULTS)
        with contextlib.closing(journal):
            return _Run(clip, clip_explainer, folder, facts, progress, preview, cancel).execute(fresh=not resume)


@dataclass
class _Run:
    """A run, or the rest of a resumed one."""

    clip: Clip
    explainer: ClipExplainer
    folder: Path
    facts: Json
    """Clip, model and settings, as the journal and the result have them."""
    progress: Progress | None
    preview: Preview | None
    cancel: threading.Event | None
    count: int = 0
    """Frames explained, in all saved parts."""
    ended: bool = False
    """Whether the last frame was explained."""
    share: float = 0.0
    """Share done, 0..1: of explaining, then of drawing."""
    previewed: float = -PREVIEW_EVERY
    """When a frame was shown last, by the monotonic clock."""

    def __post_init__(self) -> None:
        self.settings, self.work = self.explainer.settings, self.folder / WORK
        self.parts = self.work / "seen"
        self.problems: Counter[str] = Counter()
        """Frames without an answer, by reason."""

    def execute(self, *, fresh: bool) -> Summary:
        """Run the rest, or all if `fresh`, and return the result."""
        started = time.monotonic()
        for folder in (self.folder, self.parts):
            remove_drafts(folder, age=0)
        if fresh:
            shutil.rmtree(self.work, ignore_errors=True)
            for name in (CLIP, TIMELINE_CSV, TIMELINE_JSON):
                (self.folder / name).unlink(missing_ok=True)
        return replace(self._read_finished() or self._make_results(), seconds=time.monotonic() - started)

    def _read_finished(self) -> Summary | None:
        """Return the result of an earlier run that came to its end, if any.

        One that cannot be read is kept beside.
        """
        with contextlib.suppress(ModelProblem):
            set_aside_unreadable(self.folder / TIMELINE_JSON, partial(read_result, self.folder))
            finished = read_result(self.folder)
            # Of a run that was killed when all but this was done.
            shutil.rmtree(self.work, ignore_errors=True)
            return finished
        return None

    def _make_results(self) -> Summary:
        resumed = self._part(0).is_file()
        self.parts.mkdir(parents=True, exist_ok=True)
        try:
            if self.cancel is not None and self.cancel.is_set():
                self.count = sum(map(_count_frames, self.parts.glob("*.json.z")))
            self._check_cancel()
            self._write_timeline(self._draw())
        except Cancelled:
            return Summary(self.folder, explained=self.count, resumed=resumed, cancelled=True)
        return replace(read_result(self.folder), resumed=resumed)

    def _part(self, number: int) -> Path:
        """Return the file of a part."""
        return self.parts / f"{number:06}.json.z"

    def _check_cancel(self) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled

    def _report(self, frame: Frame, text: str) -> None:
        start, end = self.settings.start, self.settings.end or self.clip.about.seconds
        if end:
            self.share = max(self.share, min(1.0, (frame.seconds - start) / max(end - start, 1e-9)))
        if self.progress is not None:
            self.progress(self.share, text)

    def _frames(self, clip: Clip, first: int = 0, every: int = 1) -> Generator[Frame, None, None]:
        """Return the frames from a number on, in order, read ahead."""
        waiting = max(2, min(FRAMES_AHEAD, BYTES // (clip.about.width * clip.about.height * 3)))
        return read_ahead(clip.frames(self.settings.start, self.settings.end, first=first, every=every), waiting)

    def _explain(self) -> Iterator[Sequence[FrameRecord]]:
        """Yield and save each part's records, earlier ones first."""
        first, number = 0, 0
        while saved := self._read_part(number):
            number += 1
            first = saved[-1].number + 1
            self.explainer.replay(saved)
            self._count(saved)
            yield saved
        with contextlib.closing(self._frames(self.clip, first, self.settings.every)) as frames:
            while part := self._explain_part(frames):
                records.save(self._part(number), part)
                self._count(part)
                # As a resumed run reads it.
                yield records.load(self._part(number))
                number += 1
        if not self.count:
            raise ImageProblem(f"{self.clip.name} has no frame in that range; choose another range.")
        self.ended = True

    def _read_part(self, number: int) -> Sequence[FrameRecord]:
        """Return the records of a saved part, none without it.

        One that cannot be read is kept beside.
        """
        path = self._part(number)
        set_aside_unreadable(path, partial(records.load, path))
        return records.load(path) if path.is_file() else ()

    def _count(self, part: Sequence[FrameRecord]) -> None:
        self.count += len(part)
        self.problems.update(record.problem for record in part if record.problem)

    def _explain_part(self, frames: Iterator[Frame]) -> list[FrameRecord]:
        """Return the next part's records, fewer at the end of the clip."""
        part: list[FrameRecord] = []
        about, whole = self.clip.about, not self.settings.start and self.settings.end is None
        total = f" of about {about.frames:,}" if about.frames and whole else ""
        count = self.explainer.count_frames(about.width * about.height * 3)
        while batch := list(itertools.islice(frames, min(count, PART - len(part)))):
            part += self.explainer(batch)
            self._check_cancel()
            self._show(batch[-1], part[-1])
            self._report(batch[-1], f"Looking at frame {batch[-1].number + 1:,}{total}")
        return part

    @cached_property
    def painter(self) -> draw.Painter:
        """What draws the frames, once one of them was explained."""
        return draw.Painter(self.explainer, self.clip.about.width, self.clip.about.height)

    def _show(self, frame: Frame, record: FrameRecord) -> None:
        """Hand over a frame under its map, unless one was a moment ago."""
        now = time.monotonic()
        if self.preview is None or now - self.previewed < PREVIEW_EVERY:
            return
        self.previewed = now
        self.preview(frame.seconds, self.painter.paint(frame.pixels, record, self.painter.maps(record)))

    def _draw(self) -> int:
        """Draw and encode the frames; return their number."""
        # Its own reading of the file: the model is elsewhere in it.
        clip = copy.copy(self.clip)
        about = clip.about
        begins = about.begins + round(Fraction(self.settings.start) / about.time_base)
        with (
            torch_pool(processor_cores(), "draw") as pool,
            contextlib.closing(self._frames(clip)) as frames,
            contextlib.closing(read_ahead(self._explain(), PARTS_AHEAD)) as parts,
            (self.work / ROWS).open("w", encoding="utf-8") as rows,
        ):
            drawn = self._draw_frames(frames, parts, rows, pool)
            return draw.encode(self.folder / CLIP, drawn, about.time_base, about.rate, begins)

    def _draw_frames(
        self, frames: Iterator[Frame], parts: Iterator[Sequence[FrameRecord]], file: TextIO, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[int, Pixels]]:
        """Yield each frame's timestamp and pixels under its maps; write its timeline rows to a file."""
        # Before the first part nothing says at which layers maps are computed.
        parts = itertools.chain([next(parts)], parts)
        smoothed = records.smooth_maps(itertools.chain.from_iterable(parts), self.settings.smooth)
        for frame, pixels, rows in in_order(self._pair(frames, smoothed), partial(_paint, self.painter), pool, 4):
            file.writelines(to_json(row, None) + "\n" for row in rows)
            yield frame.pts, pixels

    def _pair(
        self, frames: Iterator[Frame], smoothed: Iterator[FrameRecord]
    ) -> Iterator[tuple[Frame, FrameRecord, bool]]:
        """Yield each frame with its record and whether it was explained."""
        earlier, later = next(smoothed), next(smoothed, None)
        for frame in frames:
            self._check_cancel()
            while later is not None and later.number <= frame.number:
                earlier, later = later, next(smoothed, None)
            record = records.interpolate(earlier, later, frame)
            if self.ended:
                # Until then the model reports how far it is.
                self._report(frame, f"Drawing frame {frame.number + 1:,}")
            yield frame, record, earlier.number == frame.number

    def _write_timeline(self, frames: int) -> None:
        """Write the timeline, the last of the results."""
        about, rows = self.clip.about, self.work / ROWS
        notes = ["Red raises the score; blue, in dashed lines, lowers it."] if self.explainer.signed else []
        if self.clip.cut_off:
            notes.append(f"{self.clip.name} is cut off: its end is missing.")
        notes += [f"In {plural(count, 'frame')}: {problem}" for problem, count in self.problems.items()]
        names = timeline.name_objects(timeline.read_rows(rows))
        if any(row["answer"] != names.get(row["object"], row["answer"]) for row in timeline.read_rows(rows)):
            notes.append(timeline.OTHER_NAMES)
        moments = timeline.find_moments(timeline.read_rows(rows), names, self.explainer.task)
        head: Json = {"about": vars(about) | {"rate": float(about.rate), "time_base": str(about.time_base)}}
        head |= {"run": self.facts, "frames": frames, "looked": self.count, "skipped": self.clip.skipped}
        head |= {"notes": notes, "moments": list(map(vars, moments))}
        timeline.write_timeline(self.folder, records.COLUMNS, rows, head)
        shutil.rmtree(self.work, ignore_errors=True)


def _count_frames(part: Path) -> int:
    """Count the frames of a saved part; those of an unreadable one are explained again."""
    with contextlib.suppress(Unreadable):
        return len(records.load(part))
    return 0


def _paint(painter: draw.Painter, pair: tuple[Frame, FrameRecord, bool]) -> tuple[Frame, Pixels, list[Json]]:
    """Return a frame under its maps, and its timeline rows."""
    frame, record, explained = pair
    maps = painter.maps(record)
    heatmaps = dict(maps)
    answers = record.drawn_answers if explained else ()
    rows = [records.timeline_row(record, answer, heatmaps.get(answer)) for answer in answers]
    return frame, painter.paint(frame.pixels, record, maps), rows
