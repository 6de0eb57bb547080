"""Make the packaged examples anew: `python -m training.examples`, or names of some."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from sightglass import batch, examples, video
from sightglass.batch import journal, table
from sightglass.batch.run_store import RunFacts, RunPlan
from sightglass.history.decks import Deck, Slide, pack, save
from training import decks
from training.demo.showcase import write_scenes

PICTURES, SIDE = 32, 224
"""Number of the pictures of a batch run, and pixels of each side, with and without their maps."""
CLASSIFIERS = ("demo-cls-s", "demo-cls-m", "demo-cls-l")
CLIP_SIDE, CLIP_SECONDS = 320, 3.0


def make_classes(folder: Path) -> None:
    """Explain scenes in class folders with three classifiers."""
    pictures = folder / "pictures"
    write_scenes(pictures, PICTURES, task="classify", side=SIDE)
    runs = [folder / "run", *(folder / model for model in CLASSIFIERS[1:])]
    plans = tuple(RunPlan(model, {}, run) for model, run in zip(CLASSIFIERS, runs, strict=True))
    for number, run in enumerate(runs):
        listed = plans[number : number + 1] if number else plans
        facts = RunFacts(source=("pictures",), name="drawn scenes", plans=listed)
        batch.run(str(pictures), CLASSIFIERS[number], run, side=SIDE, facts=facts, device="cpu")
        # What no page reads of a finished run.
        for path in (*run.rglob("*.np[yz]"), run / table.CSV):
            path.unlink(missing_ok=True)
        lines = (run / journal.NAME).read_bytes().splitlines(keepends=True)
        (run / journal.NAME).write_bytes(lines[0])


def make_clip(folder: Path) -> None:
    """Explain the bundled clip of a scene."""
    settings = video.Settings(every=2, side=CLIP_SIDE, end=CLIP_SECONDS)
    video.run("scene.mp4", "demo-m", folder, settings=settings, device="cpu")
    (folder / journal.NAME).unlink()


def make_decks(folder: Path) -> None:
    """Make the slides of the ready decks."""
    folder.mkdir(parents=True)
    for name, title in decks.TITLES.items():
        slides = (Slide(f"{name}-{number}", pack(view)) for number, view in enumerate(decks.make_views(name)))
        save(folder, Deck(name, title, tuple(slides)))


MAKERS: dict[str, Callable[[Path], None]] = {
    examples.CLASSES: make_classes,
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
