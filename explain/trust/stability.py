"""Measure a map's stability under small changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.common.work.progress import Progress, check
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.evidence.evidence import Evidence, run_again
from sightglass.explain.maps.statistics import coarse, rank_correlation
from sightglass.explain.phrases import listing, signed
from sightglass.explain.picture.image import Image, to_jpeg
from sightglass.explain.rendering.style import Pixels, Values
from sightglass.explain.tasks import describe_score, task_of
from sightglass.explain.tasks.parts import STILL, Movement
from sightglass.explain.trust.controls import chance_level, seed_of
from sightglass.explain.trust.support import map_again, tested_map
from sightglass.models.adapter import JointTarget
from sightglass.models.preprocess import READY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.result import Result
    from sightglass.explain.trust import Mark
    from sightglass.models.geometry import Geometry
    from sightglass.models.spec import ModelSpec


Kind = Literal["noise", "more noise", "right", "down", "mirror", "jpeg", "brighter", "darker"]
CHANGES: dict[Kind, str] = {
    "noise": "a little noise",
    "more noise": "more noise",
    "right": "a shift of 2 pixels to the right",
    "down": "a shift of 2 pixels downwards",
    "mirror": "a mirror image",
    "jpeg": "JPEG of quality 60",
    "brighter": "15 % brighter",
    "darker": "15 % darker",
}
"""Each change in words. Pixels are those of the model's input."""
NOISE: dict[Kind, float] = {"noise": 4.0, "more noise": 8.0}
"""Standard deviations, of 255."""
SHIFT, QUALITY, BRIGHTNESS = 2, 60, 0.15


@dataclass(frozen=True, slots=True)
class Changed:
    """A changed picture, and where its pixels went."""

    pixels: Pixels
    """uint8 (H, W, 3), as large as the picture."""
    movement: Movement = STILL

    def undone(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a map (h, w) with the change of place undone."""
        if self.movement.mirrored:
            return np.ascontiguousarray(values[:, ::-1])
        # A one-pixel-wide picture may have a single seen pixel.
        down, right = (min(by, side - 1) for by, side in zip(self.movement.shift, values.shape, strict=True))
        # What was pushed out of the picture is as its neighbour.
        return np.asarray(cv2.copyMakeBorder(values[down:, right:], 0, down, 0, right, cv2.BORDER_REPLICATE))


def change(image: Image, geometry: Geometry, kind: Kind) -> Changed:
    """Return a picture with one small change, the same every time."""
    pixels, (height, width) = image.pixels, image.pixels.shape[:2]
    if kind in NOISE:
        # Finer noise would be averaged away as the picture is reduced.
        rows, columns = (
            max(1, round(side * min(scale, 1.0))) for side, scale in zip((height, width), geometry.scale, strict=True)
        )
        random = np.random.default_rng(seed_of(image.sha256, int(NOISE[kind])))
        noise = random.normal(0, NOISE[kind], (rows, columns, 3)).astype(np.float32)
        grown = cv2.resize(noise, (width, height), interpolation=cv2.INTER_NEAREST)
        return Changed(np.rint(np.clip(pixels + grown, 0, 255)).astype(np.uint8))
    if kind in ("right", "down"):
        axis = int(kind == "right")
        # At the picture's own size, rounded to its pixels. Nothing of a picture of one pixel would be left.
        by = min(max(round(SHIFT / geometry.scale[axis]), 1), pixels.shape[axis] - 1)
        down, right = (0, by) if axis else (by, 0)
        padded = cv2.copyMakeBorder(pixels, down, 0, right, 0, cv2.BORDER_REPLICATE)
        moved = Movement((round(down * geometry.scale[0]), round(right * geometry.scale[1])))
        return Changed(np.ascontiguousarray(padded[:height, :width]), moved)
    if kind == "mirror":
        return Changed(np.ascontiguousarray(pixels[:, ::-1]), Movement(mirrored=True))
    if kind == "jpeg":
        return Changed(Image.open(to_jpeg(pixels, QUALITY)).pixels)
    factor = 1 + BRIGHTNESS if kind == "brighter" else 1 - BRIGHTNESS
    return Changed(cv2.convertScaleAbs(pixels, alpha=factor).astype(np.uint8, copy=False))


STEADY = 0.8
"""The least rank correlation after every change, of a map that holds still. Maps of different pictures by one model and
method stay below: the 95 % quantile of their rank correlations is 0.77 at most, for 8 methods and models with 18 to 20
pictures each. After the worst of eight changes the true maps of most of these kinds keep 0.73 to 0.97, by the median;
those of demo-vit and of GradCAM with YOLO11n and demo-s keep 0.14 to 0.46."""
NAMED = 2
"""Changes that a sentence names; others are counted."""


@dataclass(frozen=True, eq=False)
class Variant:
    """The answer and the map after one change."""

    kind: Kind
    score: float
    """The target's; 0 for a box that is gone."""
    answer: str
    """The model's best class, or of a detector the box's; empty where it is gone, or names nothing, as numbers do."""
    flips: bool
    """Whether the answer is another one than of the unchanged picture."""
    map: Values | None
    """float32 (h, w) in 0..1 over the content of the model's input, put back in place; None for a box that is gone."""
    rank_correlation: float | None
    """With the true map."""


@dataclass(frozen=True, eq=False)
class Stability:
    """One map under `CHANGES`."""

    label: str
    model: ModelSpec
    score: float
    """Score of the unchanged picture; for a model that measures, the number itself."""
    variants: tuple[Variant, ...]
    spread: Values
    """The standard deviation of the true map and those of the changed pictures at every pixel, float32 (h, w) over the
    content of the model's input."""
    chance: float
    """The rank correlation with the true map that unrelated maps stay below: `controls.chance_level`."""

    @property
    def flips(self) -> tuple[Kind, ...]:
        """The changes under which the answer is another one."""
        return tuple(variant.kind for variant in self.variants if variant.flips)

    @property
    def worst(self) -> Variant | None:
        """The change with the least similar map, preferably with the answer kept."""
        measured = [variant for variant in self.variants if variant.rank_correlation is not None]
        unflipped = [variant for variant in measured if not variant.flips]
        return min(unflipped or measured, key=lambda variant: variant.rank_correlation or 0.0, default=None)

    @property
    def verdict(self) -> Mark:
        """Whether the map holds still.

        `no`: some change leaves the answer, and the map no more like the true one than unrelated maps are. `yes`: the
        answer stays, and after every change the rank correlation is `STEADY` or more. All else cannot be told, nor
        whether a map moves without its number, which has no answer that could stay.
        """
        worst = self.worst
        if worst is None or worst.rank_correlation is None or worst.flips:
            return "cannot be told"
        if worst.rank_correlation <= self.chance:
            return "cannot be told" if task_of(self.model).quantity == "number" else "no"
        return "yes" if worst.rank_correlation >= STEADY and not self.flips else "cannot be told"

    @property
    def sentence(self) -> str:
        """What changes and whether the map holds still, in measured numbers."""
        scores = [variant.score for variant in self.variants]
        low, high = (describe_score(score, self.model, self.label) for score in (min(scores), max(scores)))
        names = [CHANGES[kind] for kind in self.flips]
        flips = listing(names, NAMED) if names else ""
        score = describe_score(self.score, self.model, self.label)
        spread = task_of(self.model).wording.describe_spread(self.label, (low, high), score, flips)
        sentences = [f"Under {len(scores)} small changes {spread}"]
        if (worst := self.worst) is not None and worst.rank_correlation is not None:
            correlation = f"of {signed(worst.rank_correlation)} at least (after {CHANGES[worst.kind]})"
            begin = "Otherwise the" if self.flips and not worst.flips else "The"
            sentences.append(f"{begin} map keeps a rank correlation {correlation}.")
        reach = f"unrelated maps reach {signed(self.chance)}"
        why = "because the answer changes" if self.flips else f"as {STEADY:.2f} is asked and {reach}"
        moves = worst is not None and (worst.rank_correlation or 0.0) <= self.chance
        if moves and task_of(self.model).quantity == "number":
            why = "as the number moves with it"
        conclusions: dict[Mark, str] = {
            "yes": f"It holds still: {STEADY:.2f} is asked, and {reach}.",
            "no": f"It does not hold still: {reach}.",
            "cannot be told": f"Whether it holds still cannot be told, {why}.",
        }
        return " ".join([*sentences, conclusions[self.verdict]])


@own_modes()
def stability(explanation: Result, index: int | str = 0, *, progress: Progress = lambda *_: None) -> Stability:
    """Recompute one map for eight slightly changed pictures.

    Eight passes, with the method's own cost. Raises ModelProblem for an empty map and for a picture that is not RGB;
    Cancelled between two changes.
    """
    heatmap, _ = tested_map(explanation, index, "there is nothing to compare it with")
    if explanation.image.planes is not None or explanation.options.preprocessing == READY:
        raise ModelProblem("Small changes are those of RGB pictures, and this one is an array of numbers.")
    score, first, _ = explanation.task.scorer.find_again(explanation, explanation.evidence, STILL, heatmap.target)
    variants = []
    # A mirror swaps left and right joints, and the sign of x.
    joint = isinstance(heatmap.target, JointTarget)
    changes = [kind for kind in CHANGES if not (joint and kind == "mirror")]
    for number, kind in enumerate(changes):
        progress(number / len(changes), CHANGES[kind])
        check()
        variants.append(_variant(explanation, heatmap, kind, first))
    chance = chance_level(heatmap, explanation.image.sha256)
    maps = np.stack([heatmap.strength, *(variant.map for variant in variants if variant.map is not None)])
    # The scores are those of its box.
    label = explanation.evidence.loaded.adapter.labels[heatmap.target.index or 0] if joint else heatmap.target.label
    return Stability(label, explanation.model, score, tuple(variants), maps.std(0), chance)


def _variant(explanation: Result, heatmap: Heatmap, kind: Kind, first: str) -> Variant:
    before, preprocessing = explanation.evidence, explanation.options.preprocessing
    changed, adapter = change(explanation.image, before.geometry, kind), before.loaded.adapter
    image = replace(explanation.image, pixels=changed.pixels, jpeg=b"")
    with run_again(f"after {CHANGES[kind]}"):
        model_input = before.loaded.prepare(image, preprocessing)
        evidence = Evidence(before.loaded, model_input, before.layers, placed=True)
    adapter.check_answer(evidence.outputs)
    score, answer, target = explanation.task.scorer.find_again(explanation, evidence, changed.movement, heatmap.target)
    if target is None:
        return Variant(kind, score, answer, True, None, None)
    values = changed.undone(map_again(explanation, heatmap, evidence, target))
    return Variant(kind, score, answer, answer != first, values, rank_correlation(heatmap.coarse, coarse(values)))
