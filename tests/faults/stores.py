"""Stores with something in each of their files, and what a person does next with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import pytest
from PIL import Image as Pillow

from sightglass.batch import finished, labels, relabel, run, run_store, uploads
from sightglass.batch.run_store import RunFacts, RunPlan
from sightglass.evaluation.label_changes import LabelChange
from sightglass.explain import Explainer
from sightglass.explain.picture.source import open_one
from sightglass.explain.tasks import TASKS
from sightglass.history import History
from sightglass.pages.pictures import job as runs
from sightglass.pages.video import job as clips
from sightglass.report import views
from sightglass.ui.session.jobs.background import Job
from sightglass.video import run as film
from sightglass.video import runner
from sightglass.video.clip import Clip
from sightglass.video.results import Settings, read_result
from sightglass.video.timeline import read_curves
from tests.clips import clip, scene

MODEL = "demo-cls-s"
Actions = Mapping[str, Callable[[], object]]
"""What a person does next; it returns what is said of things that cannot be read, if anything is."""


class Store(Protocol):
    """A store, built once and damaged many times."""

    variable: str
    """That names its folder."""
    files: tuple[str, ...]
    made_anew: tuple[str, ...]
    """Files, or beginnings of their paths, that are written again from others of the store."""
    changed: tuple[str, ...]
    """Files that say something else after what is done next."""
    may_be_missing: tuple[str, ...]
    """Files without which nothing is wrong."""

    def build(self, folder: Path) -> None: ...

    def actions(self, folder: Path) -> Actions: ...


def ended(job: Job[Any] | None) -> Any:
    """Return the result of a job; raise its failure."""
    if job is None:
        return None
    job.finished(60)
    if job.failure is not None:
        raise job.failure
    return job.result


def dropped() -> list[uploads.File]:
    """Return pictures, one of which is none, and labels of them, as they are dropped."""
    items: list[uploads.File] = [("9.png", b"\x89PNG\r\n\x1a\n no picture")]
    items.append(("labels.csv", b"file,label\n0.png,gear\n1.png,gear\n2.png,heart\n3.png,moon\n"))
    for number, pixels in enumerate(scene(4)):
        Pillow.fromarray(pixels[:80]).save(file := BytesIO(), "PNG")
        items.append((f"{number}.png", file.getvalue()))
    return items


class Runs:
    """Two runs over the same uploaded pictures, with labels and corrections of these."""

    variable = "SIGHTGLASS_BATCHES"
    files = ("run.json", "journal.jsonl", "results.parquet", "problems.csv", "ground_truth.json", "labels.json")
    files += ("label_changes.json", "evaluation.jsonl", "speed.json", "causes.json")
    made_anew = ("one/results.", "one/problems.csv", "one/evaluation.", "two/")
    changed = ("one/run.json",)
    may_be_missing = ("problems.csv", "labels.json", "label_changes.json", "speed.json", "causes.json")

    def build(self, folder: Path) -> None:
        self.explainer = Explainer(MODEL)
        self.source, self.truth = uploads.read_uploads(dropped(), TASKS["classify"])
        for name in ("one", "two"):
            self.run(folder / name, labels=self.truth)
        one = folder / "one"
        labels.correct(one, {"gear": ["gear"]})
        relabel.change_label([one], LabelChange("1.png", "star"))
        finished.write_times(one, [1.0, 2.0, 3.0])
        finished.explain_errors(RunPlan(MODEL, {}, one), partial(open_one, self.source.items))

    def run(self, folder: Path, **more: Any) -> None:
        facts = RunFacts(source=(self.source.path,), name="mine", plans=(RunPlan(MODEL, {}, folder),))
        run(self.source.items, self.explainer, folder, facts=facts, workers=1, batch_size=2, **more)

    def actions(self, folder: Path) -> Actions:
        one = folder / "one"

        def see_causes() -> object:
            report = finished.read([RunPlan(MODEL, {}, one)]).reports[0]
            assert report is not None
            return finished.read_causes(one, report)

        def export() -> None:
            assert relabel.export_labels(one), "a file of 0 bytes"

        def delete_other() -> None:
            for facts in run_store.list_runs(folder):
                if facts.folder.name == "two":
                    runs.delete(facts)

        return {
            "list": lambda: [facts.name for facts in run_store.list_runs(folder)],
            "see what is not listed": lambda: [*run_store.list_unreadable(folder).values()],
            "open": lambda: ended(runs.open_run("one")),
            "see why": see_causes,
            "see times": lambda: [finished.describe_time(one)],
            "correct": lambda: labels.correct(one, {"gear": ["gear"]}),
            "change a label": lambda: relabel.change_label([one], LabelChange("2.png", "star")),
            "take it back": lambda: relabel.change_label([one], None),
            "export": export,
            "delete the other run": delete_other,
            "go on": lambda: self.run(one),
            "go on with labels": lambda: self.run(one, labels=self.truth),
            "measure times": lambda: finished.write_times(one, [1.0, 2.0, 3.0]),
        }


class Saved:
    """Two saved views."""

    variable = "SIGHTGLASS_HISTORY"
    files = ("record.json", "maps.npz", "picture.webp", "index.db")
    made_anew = ("index.db",)
    changed = ()
    may_be_missing = ("index.db",)

    def build(self, folder: Path) -> None:
        self.explanation = Explainer(MODEL)(scene(1)[0][:80], top_k=1)
        for note in ("one", "two"):
            History(folder).keep(self.explanation, note=note)

    def actions(self, folder: Path) -> Actions:
        id = min(path.name for path in (folder / "records").iterdir())

        def export() -> list[str]:
            files = dict(History().export([id]))
            return [data.decode() for name, data in files.items() if name.endswith("damaged.txt")]

        return {
            "list": lambda: [record.damaged for record in History().search().records if record.damaged],
            "open": lambda: History().heatmaps(History().get(id)),
            "see the picture": lambda: History().picture(History().get(id)),
            "find": lambda: History().find(self.explanation),
            "tag": lambda: History().annotate(id, tags=[]),
            "see the room": lambda: History().used_bytes(),
            "export": export,
        }


class Decks:
    """Two decks."""

    variable = "SIGHTGLASS_HISTORY"
    files = (".sightglass",)
    made_anew = ("index.db",)
    changed = ()
    may_be_missing = (".sightglass",)

    def build(self, folder: Path) -> None:
        shown = views.explained_picture(Explainer(MODEL)(scene(1)[0][:80], top_k=1))
        self.view = views.new_view([shown], title="A", sentence="B.")
        ids = [History(folder).decks.create(title, [self.view, self.view]).id for title in ("one", "two")]
        self.first = min(ids)

    def actions(self, folder: Path) -> Actions:
        id, decks = self.first, History().decks
        return {
            "list": lambda: [deck.damaged for deck in decks.all() if deck.damaged],
            "open": lambda: decks.get(id),
            "rename": lambda: decks.change(id, title=decks.get(id).title),
            "write": lambda: decks.edit(decks.get(id).slides[0].id, title="A"),
            "make another": lambda: decks.create("three", [self.view]),
            "export": lambda: [slide.view for slide in decks.get(id).slides],
        }


class Clips:
    """A clip with a finished result, and one with a part of it."""

    variable = "SIGHTGLASS_CLIPS"
    files = ("plan.json", "results-1/journal.jsonl", "timeline.json", "timeline.csv", "results-2/journal.jsonl")
    files += ("000000.json.z",)
    made_anew = ("clip-one/results-1/timeline.csv", "clip-one/results-1/overlay.mp4", "clip-one/results-2/work/")
    changed = ()
    may_be_missing = ("000000.json.z",)

    def build(self, folder: Path) -> None:
        self.explainer, home, stop = Explainer(MODEL), folder / "clip-one", Event()
        home.mkdir(parents=True)
        clip(home / "a.mp4", scene(5)).rename(home / "clip")
        self.film(home / "results-1")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runner, "PART", 2)
            self.film(home / "results-2", cancel=stop, preview=lambda *_: stop.set())
        self.plan(home).save()

    def plan(self, home: Path) -> clips.ClipPlan:
        return clips.ClipPlan(Clip(home / "clip"), MODEL, {}, Settings(), home / "results-1")

    def film(self, folder: Path, **more: Any) -> None:
        film(Clip(folder.parent / "clip"), self.explainer, folder, **more)

    def actions(self, folder: Path) -> Actions:
        home = folder / "clip-one"
        return {
            "open": lambda: ended(clips.find("clip-one")),
            "see the result": lambda: read_result(home / "results-1"),
            "see curves": lambda: read_curves(home / "results-1", 1.0),
            "give another": lambda: clips.add_clip(b"x" * 10),
            "explain it again": lambda: self.film(home / "results-1"),
            "go on": lambda: self.film(home / "results-2"),
            "keep the plan": lambda: self.plan(home).save(),
        }


STORES: dict[str, type[Store]] = {"runs": Runs, "saved": Saved, "decks": Decks, "clips": Clips}
