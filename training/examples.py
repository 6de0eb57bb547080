"""Make the packaged examples anew: `python -m training.examples`, or names of some."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sightglass import batch, examples, video
from sightglass.batch import journal, table
from sightglass.batch.earlier import RunOrigin
from sightglass.batch.labelled.labels import FILE as GIVEN_LABELS
from sightglass.deck import archive
from sightglass.evaluation import ground_truth, stored
from sightglass.evaluation.scorecard import run as scorecards
from sightglass.explain import Explainer
from sightglass.explain.picture.source import find
from training import decks
from training.demo.labelled import LABELS, write_scenes

if TYPE_CHECKING:
    from collections.abc import Callable

PICTURES = 32
"""Of a batch run."""
SIDE = 224
"""Pixels of its pictures, with and without their maps."""
SCORED = 80
"""Pictures of the scorecard, which are not packaged."""
CLIP_SIDE, CLIP_SECONDS = 320, 3.0


def make_boxes(folder: Path) -> None:
    """Explain labelled scenes with a detector."""
    pictures = folder / "pictures"
    write_scenes(pictures, PICTURES, side=SIDE)
    labels = pictures / LABELS
    _explain(folder, "demo-s", labels=labels)
    labels.unlink()


def make_classes(folder: Path) -> None:
    """Explain scenes in class folders with a classifier."""
    write_scenes(folder / "pictures", PICTURES, task="classify", side=SIDE)
    _explain(folder, "demo-cls-s")


def _explain(folder: Path, model: str, labels: Path | None = None) -> None:
    run = folder / "run"
    pictures = folder / "pictures"
    origin = RunOrigin(source=("pictures",), name="drawn scenes", model=model)
    batch.run(str(pictures), model, run, labels=labels, side=SIDE, origin=origin, device="cpu")
    # What no page reads of a finished run.
    for path in (*run.rglob("*.np[yz]"), run / table.CSV, run / GIVEN_LABELS):
        path.unlink(missing_ok=True)
    lines = (run / journal.NAME).read_bytes().splitlines(keepends=True)
    (run / journal.NAME).write_bytes(lines[0])


def make_scorecard(folder: Path) -> None:
    """Run three detectors over labelled scenes, one picture at a time."""
    with tempfile.TemporaryDirectory() as scratch:
        write_scenes(scratch, SCORED)
        labels = ground_truth.read(Path(scratch, LABELS))
        pictures, _ = scorecards.gather(list(find(scratch)), labels)
        for model in decks.DETECTORS.values():
            evaluation = scorecards.evaluate(Explainer(model, device="cpu"), pictures)
            facts = stored.EvaluationFacts(
                model, "", "detect", evaluation.classes, evaluation.threshold, evaluation.unknown
            )
            (folder / model).mkdir(parents=True)
            stored.write(
                folder / model / stored.FILE, [[stored.to_row(picture) for picture in evaluation.pictures]], facts
            )


def make_clip(folder: Path) -> None:
    """Explain the bundled clip of a scene."""
    settings = video.Settings(every=2, side=CLIP_SIDE, end=CLIP_SECONDS)
    video.run("scene.mp4", "demo-m", folder, settings=settings, device="cpu")
    (folder / journal.NAME).unlink()


def make_decks(folder: Path) -> None:
    """Make the slides of the ready decks."""
    folder.mkdir(parents=True)
    for name, (title, _) in archive.READY.items():
        (folder / f"{name}{archive.SUFFIX}").write_bytes(archive.write(title, decks.make_scenes(name)))


MAKERS: dict[str, Callable[[Path], None]] = {
    examples.BOXES: make_boxes,
    examples.CLASSES: make_classes,
    examples.SCORECARD: make_scorecard,
    examples.CLIP: make_clip,
    examples.DECKS: make_decks,
}


def main(names: list[str]) -> None:
    """Make these examples, or all."""
    for name in names or MAKERS:
        folder = examples.find(name)
        shutil.rmtree(folder, ignore_errors=True)
        MAKERS[name](folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{name}: {size / 1e3:,.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
