"""Measure how often planted drift is found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.report import FOLDER, Row, machine
from sightglass.explain import Explainer, Image
from sightglass.models.demo.scenes import draw, sample
from sightglass.monitor.drift import ALPHA, NEWEST, compare
from sightglass.monitor.observation import NAMES, observe
from sightglass.monitor.reference import make_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.models.demo.scenes import DemoScene
    from sightglass.monitor import Drift, Observation

    Pixels = NDArray[np.uint8]

OUT = FOLDER / "DRIFT.md"
MODEL = "demo-cls-l"
SEEDS, CLEAN_SEEDS = 40, 200
REFERENCE = 300
SHARES = (0.1, 0.2, 0.3, 0.5)
"""Of the newest pictures, those that are changed."""
CLEAN, CHANGED = 700, 200
"""Scenes of each kind; a seed draws from them."""
FRAME, SHIFT = 0.7, 0.3
"""Side of the window around a scene's object, of the scene's; and by how much of itself it is shifted."""
BLUR, DARK = 1 / 60, 0.35
"""The standard deviation of the blur, of the side; and what is left of the light."""
GOAL, FALSE = 0.95, 0.05
KINDS = {
    "blur": "blurred",
    "dark": "darkened to 35 % of the light",
    "shift": "cropped 30 % beside the object",
    "new": "a class that the reference lacks",
}


@dataclass(frozen=True)
class Seen:
    """A scene's class and what the monitor logs of it."""

    label: str
    one: Observation


def observe_scenes(explainer: Explainer, kind: str, numbers: Sequence[int]) -> list[Seen]:
    """Return what the monitor logs of these scenes, changed in this way."""
    found = []
    for number in numbers:
        scene = draw(sample(number, task="classify", held_out=True))
        pixels = change(scene, kind)
        found.append(Seen(scene.objects[0].label, observe(explainer(Image.open(pixels, name=str(number)), top_k=1))))
    return found


def change(scene: DemoScene, kind: str) -> Pixels:
    """Return the window around a scene's object, blurred, darkened, or shifted."""
    pixels = scene.pixels
    height, width = pixels.shape[:2]
    left, top, right, bottom = scene.objects[0].box
    side = round(FRAME * width)
    x = round((left + right - side) / 2 + (SHIFT * side if kind == "shift" else 0)) + width
    y = round((top + bottom - side) / 2) + height
    around = cv2.copyMakeBorder(pixels, height, height, width, width, cv2.BORDER_REFLECT_101)
    window = np.ascontiguousarray(around[y : y + side, x : x + side])
    if kind == "blur":
        return np.asarray(cv2.GaussianBlur(window, (0, 0), BLUR * side), np.uint8)
    return np.rint(window * DARK).astype(np.uint8) if kind == "dark" else window


def make_pool(clean: int = CLEAN, changed: int = CHANGED, kinds: Sequence[str] = tuple(KINDS)) -> dict[str, list[Seen]]:
    """Return what is logged of clean scenes, and of others that are changed in each way."""
    explainer, pool, start = Explainer(MODEL, device="cpu"), {}, 0
    for kind in ("clean", *(kind for kind in kinds if kind != "new")):
        count = clean if kind == "clean" else changed
        pool[kind] = observe_scenes(explainer, kind, range(start, start + count))
        start += count
    return pool


def plant(pool: dict[str, list[Seen]], kind: str, share: float, seed: int, reference: int = REFERENCE) -> Drift:
    """Return the drift of the `NEWEST` pictures, of which a `share` is changed, from a reference of clean ones."""
    generator = np.random.default_rng(seed)
    clean = [pool["clean"][i] for i in generator.permutation(len(pool["clean"]))]
    changed: list[Seen] = []
    if kind == "new":
        labels = sorted({one.label for one in clean})
        label = labels[seed % len(labels)]
        changed = [one for one in clean if one.label == label]
        clean = [one for one in clean if one.label != label]
    elif kind != "clean":
        changed = [pool[kind][i] for i in generator.permutation(len(pool[kind]))]
    count = round(share * NEWEST)
    now = [*clean[reference : reference + NEWEST - count], *changed[:count]]
    assert len(now) == NEWEST
    return compare(
        make_reference([one.one for one in clean[:reference]], ""), [replace(one.one, source="now") for one in now]
    )


def measure(seeds: int = SEEDS, clean_seeds: int = CLEAN_SEEDS) -> Row:
    """Return how many seeds are called changed: of clean pictures, and of each kind at each share."""
    pool = make_pool()
    rows: list[Row] = []
    for kind in KINDS:
        for share in SHARES:
            found = [plant(pool, kind, share, seed) for seed in range(seeds)]
            rows.append({"kind": kind, "share": share, "found": sum(one.changed for one in found), "seeds": seeds})
            rows[-1]["most"] = _name_most(found)
    alarms = sum(plant(pool, "clean", 0.0, seed).changed for seed in range(clean_seeds))
    return {"machine": machine(1, "cpu"), "rows": rows, "alarms": alarms, "clean": clean_seeds}


def _name_most(found: Sequence[Drift]) -> str:
    """Return the measure that is changed in most of these."""
    names = [NAMES[one.name] for each in found for one in each.numbers if one.changed]
    names += ["Predictions" for each in found if each.labels is not None and each.labels.changed]
    return max(sorted(set(names)), key=names.count) if names else "–"


def markdown(result: Row) -> str:
    """Return the report."""
    lines = [
        "# Drift: what is found, and how often",
        "",
        f"{REFERENCE} drawn scenes are the reference of {MODEL}. Of the next {NEWEST} a share is changed, the others",
        "are as before: is it called changed? Every scene is a window around its object. One pool of scenes serves all",
        "seeds, so these are not independent. `python -m benchmarks drift`.",
        "",
        f"**Nothing changed**: {result['alarms']} of {result['clean']} seeds are called changed "
        f"({result['alarms'] / result['clean']:.1%}; allowed: {FALSE:.0%}). The level is {ALPHA:g} over all measures.",
        "",
        "| changed pictures | " + " | ".join(f"{share:.0%}" for share in SHARES) + " | seen first by |",
        "|---|" + "---|" * (len(SHARES) + 1),
    ]
    for kind, words in KINDS.items():
        of = {row["share"]: row for row in result["rows"] if row["kind"] == kind}
        cells = [_mark(of[share]) for share in SHARES]
        lines.append(f"| {words} | " + " | ".join(cells) + f" | {of[SHARES[1]]['most']} |")
    lines += ["", f"Bold: found in {GOAL:.0%} or more.", ""]
    return "\n".join(lines)


def _mark(row: Row) -> str:
    """Return `38 of 40`, in bold where the goal is reached."""
    text = f"{row['found']} of {row['seeds']}"
    return f"**{text}**" if row["found"] >= GOAL * row["seeds"] else text
