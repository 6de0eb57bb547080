"""Explain a clip in a resumable run.

What the model saw is written in parts, whole or not at all, with a line of the journal after each. A resumed run makes
only the parts that the journal lacks, and draws and encodes the clip anew; so it gives the same files.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import shutil
import threading
import time
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.batch.journal import Journal
from sightglass.batch.output import unwritable
from sightglass.batch.worker import processor_cores
from sightglass.common.errors import Cancelled, ImageProblem
from sightglass.common.files import Json, jsonable, remove_drafts
from sightglass.explain.explainer import Explainer
from sightglass.explain.recipe import versions
from sightglass.video import draw, parts
from sightglass.video.clips import example, write
from sightglass.video.clips.ahead import ahead, depth, in_order, single_threaded
from sightglass.video.clips.clip import Clip
from sightglass.video.looking import Looking
from sightglass.video.results import CLIP, CSV, JSON, Moment, Summary, find_moments, write_timeline
from sightglass.video.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from sightglass.common.work.progress import Progress
    from sightglass.explain.picture.decode import Pixels
    from sightglass.video.clips.clip import Frame
    from sightglass.video.parts import Sighting
    from sightglass.video.results import Row

    FrameOver = tuple[Frame, Sighting, bool]

PART = 64
"""Frames that the model saw in one part: about what is lost by a kill."""
READ_AHEAD = 2
"""Parts that the model may be ahead of drawing."""
WORK, ROWS = "work", "rows.jsonl"
"""Folder of the parts, which is removed at the end, and the file of the timeline's rows in it."""
LOOKING, DRAWING = 0.75, 0.97
"""Shares of the progress at which a stage ends."""


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
    cancel: threading.Event | None = None,
) -> Summary:
    """Explain a clip: write `overlay.mp4`, `timeline.csv` and `timeline.json` into a folder.

    `source`: a file, or a bundled clip, `scene.mp4` or `photographs.mp4`, where there is no file of that name.

    `options`: as for an Explainer's call, including `question`; `targets` pins a class. `resume` False: start over.
    `progress` receives the share that is done, and what is being done. Setting `cancel` ends the run after the frames
    in progress; the next one goes on from there. Raises ImageProblem for a file that is no video, ModelProblem if the
    model or an option is not valid, or if `out` holds results of other settings or another clip.

    >>> run("photographs.mp4", "efficientnet-lite0", "out/").words
    '90 frames explained; 2 moments'
    """
    clip = source if isinstance(source, Clip) else Clip(example.find(source))
    settings, folder = settings or Settings(), Path(out)
    if settings.start >= (clip.about.seconds or float("inf")):
        raise ImageProblem(f"{clip.name} is {clip.about.seconds:.1f} s long: give a range that begins before its end.")
    explainer = model if isinstance(model, Explainer) else Explainer(model, device=device)
    looking = Looking(explainer, options or {}, settings, cancel)
    folder.mkdir(parents=True, exist_ok=True)
    facts = _facts(clip, looking, settings)
    try:
        with contextlib.closing(looking), contextlib.closing(Journal(folder, facts, resume=resume)) as journal:
            return _Run(clip, looking, settings, folder, journal, facts, progress, cancel).whole(fresh=not resume)
    except OSError as error:
        raise unwritable(folder, error) from error


def _facts(clip: Clip, looking: Looking, settings: Settings) -> Json:
    """Return all facts of the results."""
    adapter, options = looking.resident.adapter, looking.options
    return {
        "clip": clip.stamp(),
        "model": adapter.spec.id,
        "weights": looking.resident.origin.adapter.weights_sha256,
        "method": looking.method.id,
        "layers": [layer.path for layer in looking.layers],
        "targets": options.targets,
        **{name: getattr(options, name) for name in ("part", "evidence", "preprocessing", "confidence", "iou")},
        **{name: getattr(options, name) for name in ("classes", "vocabulary", "masks", "head")},
        **settings.facts,
        "device": str(looking.resident.device),
        "versions": versions(),
    }


class _Run:
    """One run, or the rest of one."""

    def __init__(
        self,
        clip: Clip,
        looking: Looking,
        settings: Settings,
        folder: Path,
        journal: Journal,
        facts: Json,
        progress: Progress | None,
        cancel: threading.Event | None,
    ) -> None:
        self.clip, self.looking, self.settings, self.folder = clip, looking, settings, folder
        self.journal, self.facts, self._progress, self._cancel = journal, facts, progress, cancel
        self.work = folder / WORK
        self.started = time.monotonic()
        self.resumed = bool(journal.done)
        self._shares = [0.0, 0.0]
        """How far each stage is."""
        self._failed = False
        """Whether drawing has failed, so that the model need not go on."""

    def whole(self, *, fresh: bool) -> Summary:
        """Run the remaining stages."""
        remove_drafts(self.folder, age=0)
        if not all(path.is_file() for path in self._files()):
            # Somebody deleted what the journal says is done.
            self.journal.forget()
        last = self._entry("whole")
        if fresh or not self.journal.done or last is not None:
            # Also of a run that was killed when all but this was done.
            shutil.rmtree(self.work, ignore_errors=True)
        if last is not None:
            return self._summary(last)
        self._part(0).parent.mkdir(parents=True, exist_ok=True)
        for draft in self.work.rglob(".*.part"):
            draft.unlink()
        try:
            frames, note = self._draw()
        except Cancelled:
            done = self._entry(f"seen/{self._count() - 1}")
            looked = 0 if done is None else done["looked"]
            took = time.monotonic() - self.started
            return Summary(self.folder, 0, looked, 0, took, self.resumed, cancelled=True)
        return self._finish(frames, note)

    def _entry(self, key: str) -> Json | None:
        """Return a part's or stage's journal entry, or None."""
        return next(iter(self.journal.outcomes([key])), None)

    def _count(self) -> int:
        """Return how many parts are done, from the first on."""
        return next(i for i in itertools.count() if f"seen/{i}" not in self.journal.done)

    def _part(self, number: int) -> Path:
        """Return the file of a part."""
        return self.work / "seen" / f"{number:06}.npz"

    def _files(self) -> Iterator[Path]:
        """Yield the files expected by the journal."""
        if "whole" in self.journal.done:
            yield from (self.folder / name for name in (CLIP, CSV, JSON))
        else:
            yield from map(self._part, range(self._count()))

    def _check(self) -> None:
        if self._failed or (self._cancel is not None and self._cancel.is_set()):
            raise Cancelled

    def _report(self, stage: int, seconds: float, words: str) -> None:
        """Report a stage's progress; the model's has priority."""
        end = self.settings.end or self.clip.about.seconds
        done = (seconds - self.settings.start) / max(end - self.settings.start, 1e-9) if end else 0.0
        self._shares[stage] = max(self._shares[stage], min(1.0, max(0.0, done)))
        if self._progress is not None and (stage == 0 or self._shares[0] == 1.0):
            self._progress(LOOKING * self._shares[0] + (DRAWING - LOOKING) * self._shares[1], words)

    def _frames(self, clip: Clip, after: tuple[int, int] | None, every: int = 1) -> Generator[Frame, None, None]:
        """Return the frames behind one, in order, read ahead."""
        about, chosen = clip.about, self.settings
        frames = clip.frames(chosen.start, chosen.end, after=after, every=every)
        return ahead(frames, depth(about.width * about.height * 3))

    def _look(self) -> Iterator[list[Sighting]]:
        """Yield and save each part's records, earlier ones first."""
        number, looked, after = self._count(), 0, None
        for part in self._saved():
            self.looking.replay(part)
            yield part
        if self._entry("looked") is not None:
            self._shares[0] = 1.0
            return
        if number:
            before = self._entry(f"seen/{number - 1}")
            assert before is not None
            looked, after = before["looked"], (before["last"][0], before["last"][1])
            self.clip.skipped, self.clip.irregular = before["skipped"], before["irregular"]
        frames = self._frames(self.clip, after, self.settings.every)
        total = self.clip.about.frames
        with contextlib.closing(frames):
            while chunk := self._looked_at(frames, looked, total):
                parts.save(self._part(number), chunk)
                looked += len(chunk)
                entry: Json = {"key": f"seen/{number}", "stamp": "", "last": [chunk[-1].number, chunk[-1].pts]}
                entry |= {"looked": looked, "skipped": self.clip.skipped, "irregular": self.clip.irregular}
                self.journal.add([entry])
                # As a resumed run reads it.
                yield parts.load(self._part(number))
                number += 1
        if not looked:
            raise ImageProblem(f"{self.clip.name} has no frame in that range; choose another range.")
        done = {"key": "looked", "stamp": "", "looked": looked, "skipped": self.clip.skipped}
        self._shares[0] = 1.0
        self.journal.add([done | {"cut_off": self.clip.cut_off, "layers": self.looking.paths}])

    def _saved(self) -> Iterator[list[Sighting]]:
        """Yield the saved parts."""
        return map(parts.load, map(self._part, range(self._count())))

    def _smooth(self, looked: Iterable[list[Sighting]]) -> Iterator[Sighting]:
        """Yield the records of parts, smoothed over time."""
        return parts.smooth_maps(itertools.chain.from_iterable(looked), self.settings.smooth)

    def _looked_at(self, frames: Iterator[Frame], looked: int, total: int) -> list[Sighting]:
        """Return the next part's records; fewer at the end."""
        sightings: list[Sighting] = []
        together = self.looking.together_of(self.clip.about.width * self.clip.about.height * 3)
        while batch := list(itertools.islice(frames, min(together, PART - len(sightings)))):
            sightings += self.looking(batch)
            of = f" of about {total:,}" if total and not self.settings.start and self.settings.end is None else ""
            at = batch[-1]
            self._check()
            self._report(0, at.seconds, f"Looking at frame {at.number + 1:,}{of}")
        return sightings

    def _draw(self) -> tuple[int, str]:
        """Draw and encode the frames; return their number and a note."""
        # Its own reading of the file: the model is elsewhere in it.
        clip, chosen, count = copy.copy(self.clip), self.settings, 0
        about = clip.about
        begins = about.begins * about.time_base
        within = (
            begins + Fraction(chosen.start) if chosen.start else None,
            None if chosen.end is None else begins + Fraction(chosen.end),
        )
        frames, looked = self._frames(clip, None), ahead(self._look(), READ_AHEAD)
        with (
            single_threaded(processor_cores(), "draw") as pool,
            contextlib.closing(frames),
            contextlib.closing(looked),
            (self.work / ROWS).open("w", encoding="utf-8") as file,
        ):

            def drawn() -> Iterator[tuple[int, Pixels]]:
                nonlocal count
                painter, records = self._painter(looked)
                for frame, pixels, rows in in_order(self._pair(frames, records), partial(_paint, painter), pool, 4):
                    file.writelines(json.dumps(jsonable(row)) + "\n" for row in rows)
                    count += 1
                    yield frame.pts, pixels

            into, sound = self.folder / CLIP, chosen.sound
            try:
                note = write.encode(into, drawn(), about.time_base, about.rate, clip, within, sound=sound)
            except BaseException:
                self._failed = True
                raise
        return count, note

    def _painter(self, looked: Iterator[list[Sighting]]) -> tuple[draw.Painter, Iterator[Sighting]]:
        """Return the painter, and the smoothed records of all parts."""
        first, about, chosen = next(looked), self.clip.about, self.settings
        painter = draw.Painter(
            self.looking.geometry(np.zeros((about.height, about.width, 3), np.uint8)),
            write.fit_size(about.width, about.height, chosen.side),
            chosen,
            self.looking.method.id,
            self.looking.paths,
            signed=self.looking.signed,
            task=self.looking.task,
        )
        if chosen.scale != "clip":
            return painter, self._smooth(itertools.chain([first], looked))
        # Which no frame knows before the last one was seen.
        for _ in looked:
            pass
        painter.levels = draw.levels(self._smooth(self._saved()), painter.geometry, signed=painter.signed)
        return painter, self._smooth(self._saved())

    def _pair(self, frames: Iterator[Frame], records: Iterator[Sighting]) -> Iterator[FrameOver]:
        """Yield each frame with its record and whether it was explained."""
        now, later = next(records, None), next(records, None)
        for frame in frames:
            self._check()
            while now is not None and later is not None and later.number <= frame.number:
                now, later = later, next(records, None)
            assert now is not None
            after = later if self.settings.between == "interpolate" else None
            over = parts.between(now, after, frame.number, frame.pts, frame.seconds)
            self._report(1, frame.seconds, f"Drawing frame {frame.number + 1:,}")
            yield frame, over, now.number == frame.number

    def _finish(self, frames: int, note: str) -> Summary:
        """Write the timeline."""
        if self._progress is not None:
            self._progress(DRAWING, "Writing the timeline")
        about, ended = self.clip.about, self._entry("looked") or {}
        looked, skipped = ended["looked"], ended["skipped"]
        notes = [note] if note else []
        if self.looking.signed:
            raws = (raw for record in self._smooth(self._saved()) for seen in record.shown for raw in seen.raws or ())
            lowers = any((raw < 0).any() for raw in raws)
            notes.append(f"Red raises the score{'; blue, in dashed lines, lowers it' * lowers}.")
        if ended.get("cut_off"):
            notes.append(f"{self.clip.name} is cut off: its end is missing.")

        def rows() -> Iterator[Row]:
            with (self.work / ROWS).open(encoding="utf-8") as file:
                yield from map(json.loads, file)

        moments = find_moments(rows(), about.width, about.height, self.looking.task)
        entry = {"key": "whole", "stamp": "", "frames": frames, "looked": looked, "skipped": skipped, "notes": notes}
        entry["moments"] = [vars(moment) for moment in moments]
        head = {"about": vars(about) | {"rate": float(about.rate), "time_base": str(about.time_base)}}
        write_timeline(
            self.folder, draw.COLUMNS, rows, head | {"run": self.facts} | {k: entry[k] for k in list(entry)[2:]}
        )
        self.journal.add([entry])
        shutil.rmtree(self.work, ignore_errors=True)
        return self._summary(entry)

    def _summary(self, entry: Json) -> Summary:
        moments = tuple(Moment(**fields) for fields in entry["moments"])
        took = time.monotonic() - self.started
        numbers = (entry["frames"], entry["looked"], entry["skipped"])
        return Summary(self.folder, *numbers, took, self.resumed, moments=moments, notes=tuple(entry["notes"]))


def _paint(painter: draw.Painter, over: FrameOver) -> tuple[Frame, Pixels, list[Row]]:
    """Return a frame under its maps, and its timeline rows."""
    frame, record, measured = over
    maps = painter.maps(record)
    pixels = painter.paint(frame.pixels, record, maps)
    rows: list[Row] = []
    if measured:
        of = {id(heatmap.seen): heatmap for heatmap in maps}
        rows = [draw.row(record, of.get(id(seen)), seen) for seen in record.shown]
    return frame, pixels, rows
