"""Stores with something in each of their files, and what a person does next with them."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from PIL import Image as Pillow
from torchvision.models import squeezenet1_1

from sightglass.batch import finished, labels, relabel, run, run_store, table, uploads
from sightglass.batch.run_store import RunFacts, RunPlan
from sightglass.evaluation.label_changes import LabelChange
from sightglass.explain import Explainer
from sightglass.explain.tasks import TASKS
from sightglass.history import History
from sightglass.models.own import store as own_models
from sightglass.pages.pictures import job as runs
from sightglass.pages.video import job as clips
from sightglass.report import views
from sightglass.ui.session.jobs.background import Job
from sightglass.video import run as film
from sightglass.video import runner
from sightglass.video.clip import Clip
from sightglass.video.results import Settings
from tests.clips import clip, scene

MODEL = "demo-cls-s"
Action = Callable[[Path], object]
"""Takes the folder of a store; returns sentences, or what a person sees."""
Facts = Mapping[str, object]


def ended(job: Job[Any] | None) -> Any:
    """Return the result of a job; raise its failure."""
    if job is None:
        return None
    job.finished(60)
    if job.failure is not None:
        raise job.failure
    return job.result


class Runs:
    """Two runs over the same uploaded pictures, with labels and corrections of these."""

    variable = "SIGHTGLASS_BATCHES"
    files = ("run.json", "journal.jsonl", "results.parquet", "problems.csv", "ground_truth.json", "labels.json")
    files += ("label_changes.json", "evaluation.jsonl", "speed.json", "causes.json")
    rewritten = ("run.json",)

    def build(self, folder: Path) -> None:
        self.explainer = Explainer(MODEL)
        source, truth = self.drop()
        for name in ("one", "two"):
            self.run(folder / name, labels=truth)
            (folder / name / finished.SPEED).write_text("[1.0, 2.0, 3.0]")
        one = folder / "one"
        labels.correct(one, {"gear": ["gear"]})
        relabel.change_label([one], LabelChange("1.png", "star"))
        finished.explain_errors(RunPlan(MODEL, {}, one), self.open, progress=lambda *_: None, cancel=Event())

    def open(self, key: str) -> Any:
        from sightglass.explain.picture.source import open_one

        return open_one(self.source.items, key)

    def drop(self) -> Any:
        files = []
        for number, pixels in enumerate(scene(4)):
            Pillow.fromarray(pixels[:80]).save(file := BytesIO(), "PNG")
            files.append((f"{number}.png", file.getvalue()))
        files.append(("9.png", b"\x89PNG\r\n\x1a\n no picture"))
        files.append(("labels.csv", b"file,label\n0.png,gear\n1.png,gear\n2.png,heart\n3.png,moon\n"))
        self.source, self.truth = uploads.read_uploads(files, TASKS["classify"])
        return self.source, self.truth

    def run(self, folder: Path, **more: Any) -> None:
        facts = RunFacts(
            source=(self.source.path,),
            name="mine",
            plans=(RunPlan(MODEL, {}, folder),),
            pictures=len(self.source.items),
        )
        run(self.source.items, self.explainer, folder, facts=facts, workers=1, batch_size=2, **more)

    @property
    def actions(self) -> Mapping[str, Action]:
        return {
            "list": lambda base: listed(run_store, base),
            "open": lambda base: ended(runs.open_run("one")),
            "read": lambda base: finished.read([RunPlan(MODEL, {}, base / "one")]),
            "causes": lambda base: finished.read_causes(
                base / "one", finished.read([RunPlan(MODEL, {}, base / "one")]).reports[0]
            ),
            "times": lambda base: finished.describe_time(base / "one"),
            "correct": lambda base: labels.correct(base / "one", {"gear": ["gear"]}),
            "relabel": lambda base: relabel.change_label([base / "one"], LabelChange("2.png", "star")),
            "take back": lambda base: relabel.change_label([base / "one"], None),
            "export": lambda base: exported(relabel.export_labels(base / "one")),
            "delete the other": lambda base: [
                runs.delete(facts) for facts in run_store.list_runs(base) if facts.folder.name == "two"
            ],
            "go on": lambda base: self.run(base / "one"),
            "go on with labels": lambda base: self.run(base / "one", labels=self.truth),
        }


def listed(module: Any, base: Path) -> list[str]:
    """Return what the list says of runs that it cannot show."""
    module.list_runs(base)
    return [*module.list_unreadable(base)] if hasattr(module, "list_unreadable") else []


def exported(text: str) -> None:
    assert text, "an empty file of labels"


class Saved:
    """Two saved views."""

    variable = "SIGHTGLASS_HISTORY"
    files = ("record.json", "maps.npz", "picture.png", "thumbnail.jpg", "proof-0.json", "index.db")
    rewritten = ("index.db",)

    def build(self, folder: Path) -> None:
        self.explanation = Explainer(MODEL)(scene(1)[0][:80], top_k=1)
        self.explanation.prove()
        history = History(folder)
        for note in ("one", "two"):
            history.keep(self.explanation, note=note)

    def first(self, base: Path) -> str:
        return min(path.name for path in (base / "records").iterdir())

    @property
    def actions(self) -> Mapping[str, Action]:
        def history() -> History:
            return History()

        def see(base: Path) -> list[str]:
            return [record.damaged for record in history().search(limit=100).records if record.damaged]

        def opened(read: str, *more: Any) -> Action:
            return lambda base: getattr(history(), read)(history().get(self.first(base)), *more)

        return {
            "list": see,
            "maps": opened("heatmaps"),
            "picture": opened("picture"),
            "thumbnail": opened("thumbnail"),
            "proof": opened("proof", 0),
            "tag": lambda base: history().annotate(self.first(base), tags=[]),
            "find": lambda base: history().find(self.explanation),
            "another": lambda base: history().keep(self.explanation, note="three"),
            "room": lambda base: history().used_bytes(),
            "export": lambda base: dict(history().export([self.first(base)])),
            "delete another": lambda base: history().delete(
                [r.id for r in history().search(limit=100).records if r.note == "three"]
            ),
        }


class Decks:
    """Two decks."""

    variable = "SIGHTGLASS_HISTORY"
    files = ("*.sightglass",)
    rewritten = ("index.db",)

    def build(self, folder: Path) -> None:
        view = views.new_view(
            [views.explained_picture(Explainer(MODEL)(scene(1)[0][:80], top_k=1))], title="A", sentence="B."
        )
        self.view = view
        for title in ("one", "two"):
            History(folder).decks.create(title, [view, view])

    def first(self, base: Path) -> str:
        return min(path.stem for path in (base / "decks").glob("*.sightglass"))

    @property
    def actions(self) -> Mapping[str, Action]:
        def decks() -> Any:
            return History().decks

        def see(base: Path) -> list[str]:
            return [getattr(deck, "damaged", "") or deck.title for deck in decks().all() if not deck.slides]

        return {
            "list": see,
            "open": lambda base: decks().get(self.first(base)),
            "rename": lambda base: decks().change(self.first(base), title="one"),
            "edit": lambda base: decks().edit(decks().get(self.first(base)).slides[0].id, title="A"),
            "another": lambda base: decks().create("three", [self.view]),
            "export": lambda base: decks().get(self.first(base)).file(".html"),
        }


class Clips:
    """A clip with a finished result, and one with half of it."""

    variable = "SIGHTGLASS_CLIPS"
    files = ("plan.json", "results-1/journal.jsonl", "results-1/timeline.json", "results-1/timeline.csv")
    files += ("results-2/journal.jsonl", "results-2/work/seen/000000.json.z")
    rewritten = ()

    def build(self, folder: Path) -> None:
        self.explainer = Explainer(MODEL)
        home = folder / "clip-one"
        home.mkdir(parents=True)
        clip(home / "a.mp4", scene(9))
        (home / "a.mp4").rename(home / "clip")
        self.film(home / "results-1")
        stop = Event()
        runner.PART = 2
        self.film(home / "results-2", cancel=stop, progress=lambda share, words: share > 0.8 and stop.set())
        plan = clips.ClipPlan(Clip(home / "clip"), MODEL, {}, Settings(), home / "results-1")
        plan.save()

    def film(self, folder: Path, **more: Any) -> None:
        film(Clip(folder.parent / "clip"), self.explainer, folder, **more)

    @property
    def actions(self) -> Mapping[str, Action]:
        return {
            "open": lambda base: ended(clips.find("clip-one")),
            "curves": lambda base: clips.find("clip-one").curves,
            "another": lambda base: clips.add_clip(b"x" * 10),
            "again": lambda base: self.film(base / "clip-one" / "results-1"),
            "go on": lambda base: self.film(base / "clip-one" / "results-2"),
            "plan": lambda base: clips.ClipPlan(
                Clip(base / "clip-one/clip"), MODEL, {}, Settings(), base / "clip-one/results-1"
            ).save(),
        }
