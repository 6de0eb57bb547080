"""Compare ways of explaining one box of a detector.

A map near the output lies on its box whatever the network has learnt. So each way is tested as the product tests a map
(random weights), then inside the box alone: the map's strongest places against random ones, and against the cause where
that is known.
"""

from __future__ import annotations

import itertools
import random
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from benchmarks import inside
from benchmarks.bootstrap import Samples
from benchmarks.detectors.annotated import Photograph, dataset, load_packaged, match
from benchmarks.detectors.parts import DRISE, PACKAGES, PER_PICTURE
from benchmarks.inside import BLOBS
from benchmarks.inside import PRESET as WHY
from benchmarks.report import Row, ends, grid, machine, page
from benchmarks.timing import SEED
from benchmarks.verdict import SURE, rate, wilson
from sightglass.explain import Explainer
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import backbone_at, find, stages
from sightglass.explain.faithfulness.randomised import copy_resident, moments_of, redrawn
from sightglass.explain.faithfulness.randomised import stages as weights_of
from sightglass.explain.faithfulness.scramble import DRAWS, side_of
from sightglass.explain.maps.boxes import box_on_content
from sightglass.explain.maps.heatmap import Heatmap, heatmaps
from sightglass.explain.maps.statistics import coarse, rank_correlation
from sightglass.explain.methods import METHODS
from sightglass.explain.methods.from_evidence import raw_maps
from sightglass.explain.proof import controls
from sightglass.explain.proof.controls import chance_level, ranking
from sightglass.explain.proof.curves import BATCH_CPU, Perturber
from sightglass.explain.proof.scores import scorer
from sightglass.explain.proof.support import SHOWN, Effect
from sightglass.explain.questions import settings
from sightglass.models.adapter import Part, Target
from sightglass.models.catalog import available, spec
from sightglass.models.demo import scenes
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.bootstrap import Interval
    from sightglass.explain.evidence.resident import Resident
    from sightglass.explain.explanation import Explanation
    from sightglass.models.layers import Layer

    Map = NDArray[np.float32]

MODELS = ("yolo11n", "yolo26n", "yolox_nano", "demo-s", "demo-m", "demo-l")
BOXES, CHOOSING, MASKED = 20, 10, 5
"""Boxes of a model that are reported, those by which layers are chosen, and those that D-RISE explains as well."""
MASKS = 160
"""D-RISE's of a box: too many passes to ask it of eight sets of weights as well."""
SIDE = 32
"""The least side of a box in pixels of the model's input: of smaller ones a share is a few cells."""
FEW = 5
"""The least number of boxes of which an interval is shown."""
PROPER = 0.5
"""The largest share of an object that counts as the part that decides: where all of it does, no part is right."""
FIRST_SCENE = 700_000
STRIDES = (8, 16, 32)
"""Of the backbone's layers among which one is chosen."""
NOISE = 0.15
"""The deviation of noisy copies by the picture's range (SmoothGrad's)."""
BEFORE = 3
"""Draws of random weights whose mean map is subtracted; none of them is one that the difference is tested with."""
DEFAULT = "today's default"
REFERENCE = "yolo11n"
"""The model at which a new default has to pass, and at one more."""
LESS = {"today's default less random weights'": DEFAULT, "why this class less random weights'": WHY}
"""A way less the map that the same network draws with random weights, what is positive of it; and the way's name."""
GRADIENTS = {"gradient times input": 0, "gradient times input of noisy copies": 4}
"""Ways that need no layer, and of how many noisy copies each is the mean (SmoothGrad); 0: of the picture itself."""
DEPENDS, ALIKE, ALIKE_INSIDE, CAUSE = "depends", "alike", "alike inside", "cause"
Found = dict[tuple[str, str], float]
"""What one box got, by way and measure."""


@dataclass(frozen=True)
class Way:
    """A way of explaining a box that is a method at layers."""

    method: str
    layers: tuple[Layer, ...]
    part: Part = "class"
    together: bool = False
    """Whether the map is the sum over all boxes of the class, each with the same peak."""


@dataclass(frozen=True, eq=False)
class Box:
    """A box that is an annotated object, as the model's default explains it."""

    picture: str
    number: int
    explanation: Explanation
    same: tuple[int, ...]
    """The candidates of all boxes of its class, its own among them."""
    cause: NDArray[np.bool_] | None
    """The part that decides, over the content of the model's input; None where that is not known, or no part."""

    @property
    def part(self) -> tuple[slice, slice]:
        explanation = self.explanation
        (own,) = explanation.own(0)
        assert own.box is not None
        return box_on_content(explanation.evidence.geometry, own.box)

    @property
    def given(self) -> ModelInput:
        return ModelInput(self.explanation.evidence.tensor, self.explanation.evidence.geometry)

    def target(self, way: Way | None = None) -> Target:
        own = self.explanation.heatmaps[0].target
        if way is None:
            return own
        return replace(own, part=way.part, anchors=self.same if way.together else own.anchors)


def default(models: Sequence[str], folder: Path | None, most: int | None) -> Row:
    """Measure each model on drawn scenes, or on annotated photographs; every other one is for choosing layers."""
    photographs = [*load_packaged(), *(dataset(folder) if folder else ())]
    random.Random(SEED).shuffle(photographs)
    wanted = [model for model in models or MODELS if models or available(spec(model))]
    return {
        "machine": machine(1, "cpu", PACKAGES),
        "models": [_measure(model, photographs, most or BOXES) for model in wanted],
    }


def _measure(model: str, photographs: Sequence[Photograph], most: int) -> Row:
    explainer = Explainer(model, device="cpu")
    pictures = [*itertools.islice(_scenes(), 20 * most)] if spec(model).example else [(one, ()) for one in photographs]
    ways = _ways(explainer.resident) | _choose(explainer.resident, [*_boxes(explainer, pictures[::2], CHOOSING)])
    work = _Work(explainer.resident, ways)
    names, found = [], []
    for box in _boxes(explainer, pictures[1::2], most):
        print(f"{model}: {box.number + 1} of {most}", file=sys.stderr, flush=True)
        names.append(box.picture)
        found.append(work.measure(box) | (_by_masks(explainer, box) if box.number < MASKED else {}))
    layers = {name: " ".join(layer.path for layer in way.layers) for name, way in ways.items()}
    return {
        "model": model,
        "boxes": len(found),
        "pictures": len(set(names)),
        "caused": sum((BLOBS, CAUSE) in one for one in found),
        "rows": rows(names, found, layers),
        "values": [{"way": key[0], "measure": key[1], "boxes": of} for key, of in inside.joined(found).items()],
    }


def _scenes() -> Iterator[tuple[Photograph, Sequence[scenes.Object]]]:
    """Yield held-out scenes, whose pixels stand for a file, with their objects."""
    for number in itertools.count(FIRST_SCENE):
        drawn = scenes.draw(scenes.sample(number, task="detect", held_out=True))
        objects = tuple((thing.label, thing.box) for thing in drawn.objects)
        pixels: Any = drawn.pixels
        yield Photograph(pixels, objects), drawn.objects


def _boxes(
    explainer: Explainer, pictures: Iterable[tuple[Photograph, Sequence[scenes.Object]]], most: int
) -> Iterator[Box]:
    """Yield the boxes that are annotated objects (same label, IoU >= 0.5), at most `PER_PICTURE` of each picture."""
    number = 0
    for at, (photograph, things) in enumerate(pictures):
        source: Any = photograph.path
        seen = explainer(source, per="detection", maps=False)
        (sy, sx) = seen.evidence.geometry.scale
        found = [
            (one, thing)
            for one, thing in match(list(seen.predictions), photograph)
            if one.box is not None
            and one.score >= SURE
            and min((one.box[2] - one.box[0]) * sx, (one.box[3] - one.box[1]) * sy) >= SIDE
        ]
        random.Random(f"{SEED} {at}").shuffle(found)
        for prediction, thing in found[:PER_PICTURE]:
            assert prediction.anchor is not None
            explanation = explainer(source, per="detection", targets=((prediction.anchor, prediction.index),))
            if number == most:
                return
            same = [one.anchor for one in seen.predictions if one.index == prediction.index and one.anchor is not None]
            yield Box(str(at), number, explanation, tuple(same), cause_of(things[thing]) if things else None)
            number += 1


def cause_of(thing: scenes.Object) -> NDArray[np.bool_] | None:
    """Return the part of an object that decides its class; None where that is most of it."""
    return thing.cause if 0 < thing.cause.sum() <= PROPER * thing.mask.sum() else None


def _ways(resident: Resident) -> dict[str, Way]:
    where, why = settings(resident, "where"), settings(resident, "why")
    neck = find(resident, resident.default_layers)
    return {
        DEFAULT: Way(where["method"], neck),
        "GradCAM at the neck": Way("gradcam", neck),
        "EigenCAM at the neck": Way("eigencam", neck),
        "contrast at the neck": Way(where["method"], neck, "contrast"),
        "sum over its class's boxes": Way(where["method"], neck, together=True),
        WHY: Way(why["method"], find(resident, why["layers"]), "contrast"),
    }


def _choose(resident: Resident, boxes: Sequence[Box]) -> dict[str, Way]:
    """Return LayerCAM and GradCAM at the layer of the backbone where their maps have the largest effect in the box."""
    paths = [path for stride in STRIDES if (path := backbone_at(stages(resident), stride))]
    chosen = {}
    for method in ("layercam", "gradcam"):
        ways = {path: Way(method, find(resident, (path,))) for path in paths}
        found = [effects(box, {name: one.content for name, one in _draw(resident, box, ways).items()}, ("blur",))
                 for box in boxes]  # fmt: skip
        best = max(paths, key=lambda path: np.mean([one[path, "blur"] for one in found]))
        chosen[f"{METHODS[method].name} in the backbone"] = ways[best]
    return chosen


def _draw(resident: Resident, box: Box, ways: Mapping[str, Way]) -> dict[str, Heatmap]:
    """Return a network's maps of a box; one pass for all ways with the same layers."""
    evidences: dict[tuple[Layer, ...], Evidence] = {}
    found = {}
    for name, way in ways.items():
        if way.layers not in evidences:
            evidences[way.layers] = Evidence(resident, box.given, way.layers)
        evidence, method, target = evidences[way.layers], METHODS[way.method], box.target(way)
        raws = [raw.nan_to_num() for raw in raw_maps(evidence, method, [target])]
        (found[name],) = heatmaps(
            raws, [target], method=method.id, layers=evidence.paths, geometry=evidence.geometry, scale="own"
        )
    return found


def _of_pixels(resident: Resident, box: Box, copies: int) -> Heatmap:
    """Return the gradient of the class score times the input, blurred, what is positive of it.

    `copies`: of how many noisy ones the gradient is the mean, SmoothGrad of Smilkov et al. 2017,
    https://arxiv.org/abs/1706.03825.
    """
    tensor, target = box.given.tensor, box.target()
    noise = torch.randn((max(copies, 1), *tensor.shape[1:]), generator=torch.Generator().manual_seed(SEED))
    total = torch.zeros_like(tensor)
    for one in noise.split(1):
        noisy = tensor + one * (NOISE if copies else 0) * (tensor.max() - tensor.min())
        with resident.lock, torch.enable_grad():
            scalar = resident.adapter.scalar(resident.adapter.run(noisy.requires_grad_()), target)
            total += torch.autograd.grad(scalar, noisy)[0]
    values = (total * tensor).sum(1)[0].numpy()
    blurred = cv2.GaussianBlur(values, (0, 0), max(controls.CELL * max(values.shape), 1.0))
    return _with_values(replace(box.explanation.heatmaps[0], raw=(blurred,)), blurred)


def _with_values(heatmap: Heatmap, values: Map) -> Heatmap:
    """Return a heatmap with other values over the whole input, of which the positive ones are brought to 0..1."""
    left, top, right, bottom = heatmap.geometry.content
    at_input = np.zeros_like(heatmap.at_input)
    at_input[top:bottom, left:right] = np.maximum(np.nan_to_num(values[top:bottom, left:right]), 0)
    highest = float(at_input.max())
    return replace(heatmap, at_input=at_input / (highest or 1), state="ok" if highest else "no evidence")


class _Work:
    """Measures boxes of one model, and keeps one copy of it for random weights."""

    def __init__(self, resident: Resident, ways: dict[str, Way]) -> None:
        self._resident, self._ways, self._other = resident, ways, copy_resident(resident)
        size = resident.probed
        groups = weights_of(self._other, torch.zeros(1, 3, *size))
        self._redrawn = partial(redrawn, groups, moments=moments_of(groups))

    def measure(self, box: Box) -> Found:
        before = self._before(box)
        made = self._maps(self._resident, box, before, (*self._ways, *LESS, *GRADIENTS))
        made = {name: one for name, one in made.items() if one.state == "ok"}
        maps = {name: one.content for name, one in made.items()}
        found = effects(box, maps | _blobs(box), inside.FILLINGS) | self._dependence(box, made, before)
        return found | ({} if box.cause is None else on_cause(box.cause, box.part, maps))

    def _maps(self, resident: Resident, box: Box, before: dict[str, Map], wanted: Iterable[str]) -> dict[str, Heatmap]:
        wanted = tuple(wanted)
        needed = {*wanted, *(LESS[name] for name in wanted if name in LESS)}
        found = _draw(resident, box, {name: way for name, way in self._ways.items() if name in needed})
        found |= {
            name: _with_values(found[base], found[base].at_input - before[name])
            for name, base in LESS.items()
            if name in wanted
        }
        found |= {name: _of_pixels(resident, box, copies) for name, copies in GRADIENTS.items() if name in wanted}
        return {name: found[name] for name in wanted}

    def _redraw(self, number: int) -> Resident:
        for _ in self._redrawn(controls.seed_of(self._resident.adapter.weights_sha256, number)):
            pass
        return self._other

    def _before(self, box: Box) -> dict[str, Map]:
        """Return the mean map with random weights of each way that one is subtracted from."""
        bases = {base: self._ways[base] for base in LESS.values()}
        drawn = [_draw(self._redraw(DRAWS[1] + number), box, bases) for number in range(BEFORE)]
        return {name: np.mean([one[base].at_input for one in drawn], 0) for name, base in LESS.items()}

    def _dependence(self, box: Box, maps: Mapping[str, Heatmap], before: dict[str, Map]) -> Found:
        """Return whether each map depends on the model, as `scramble.final` does, and how alike random weights' are."""
        thresholds = {name: chance_level(one, box.explanation.image.sha256) for name, one in maps.items()}
        draws: dict[str, list[float]] = {name: [] for name in maps}
        within: dict[str, list[float]] = {name: [] for name in maps}
        unsettled = list(maps)
        for number in range(DRAWS[1]):
            made = self._maps(self._redraw(number), box, before, unsettled)
            for name, one in made.items():
                draws[name].append(rank_correlation(maps[name].coarse, one.coarse))
                pair = (coarse(np.ascontiguousarray(each.content[box.part])) for each in (maps[name], one))
                within[name].append(rank_correlation(*pair))
            if number + 1 >= DRAWS[0]:
                unsettled = [name for name in unsettled if side_of(draws[name], thresholds[name]) == "within"]
            if not unsettled:
                break
        found: Found = {}
        for name in maps:
            found[name, DEPENDS] = float(side_of(draws[name], thresholds[name]) == "below")
            found[name, ALIKE] = float(np.mean(draws[name]))
            found[name, ALIKE_INSIDE] = float(np.mean(within[name]))
        return found


def _by_masks(explainer: Explainer, box: Box) -> Found:
    """Return what D-RISE's map of a box gets."""
    options = box.explanation.options
    made = explainer(box.explanation.image, per="detection", targets=options.targets, method="drise", masks=MASKS)
    if made.heatmaps[0].state != "ok":
        return {}
    maps = {DRISE: made.heatmaps[0].content}
    found = effects(box, maps, inside.FILLINGS)
    return found | ({} if box.cause is None else on_cause(box.cause, box.part, maps))


def _blobs(box: Box) -> dict[str, Map]:
    """Return two maps of random blobs, as fine as the finest maps."""
    shape = box.explanation.heatmaps[0].content.shape
    cells = (max(shape[0] // inside.CELL, 2), max(shape[1] // inside.CELL, 2))
    return {f"{BLOBS}, {blob}": controls.random_map(shape, cells, 10 * box.number + blob) for blob in range(2)}


def effects(box: Box, maps: Mapping[str, Map], fillings: Sequence[Any]) -> Found:
    """Return the effect of each map's strongest `SHOWN` of the box: kept less hidden, in log-odds, by filling.

    Maps named alike up to a comma are averaged. Outside of the box nothing is hidden.
    """
    explanation, shown = box.explanation, []
    perturber = Perturber(explanation.evidence, scorer(explanation.evidence, box.target(), explanation.options))
    for values in maps.values():
        for keeps in (False, True):
            one = np.ones(values.shape, bool)
            if (places := ranking(np.ascontiguousarray(values[box.part]))) is not None:
                one[box.part] = (places < SHOWN) == keeps
            shown.append(one)
    found: dict[tuple[str, str], list[float]] = {}
    for filling in fillings:
        fill, scores = perturber.fill(filling), list[float]()
        for some in torch.from_numpy(np.stack(shown)).split(BATCH_CPU):
            scores += perturber.predict_masked(some, fill).score.tolist()
        for name, hidden, kept in zip(maps, scores[::2], scores[1::2], strict=True):
            effect = Effect(name, (SHOWN,), (hidden,), (kept,)).size()
            found.setdefault((name.partition(", ")[0], filling), []).append(effect)
    return {key: float(np.mean(of)) for key, of in found.items()}


def on_cause(cause: NDArray[np.bool_], part: tuple[slice, slice], maps: Mapping[str, Map]) -> Found:
    """Return which share of each map's strongest `SHOWN` of the box is on the part that decides; and by chance."""
    own = cause[part]
    found: Found = {(BLOBS, CAUSE): float(own.mean())}
    for name, values in maps.items():
        if (places := ranking(np.ascontiguousarray(values[part]))) is not None:
            found[name, CAUSE] = float(own[places < SHOWN].mean())
    return found


def rows(pictures: Sequence[str], found: Sequence[Found], layers: Mapping[str, str]) -> list[Row]:
    """Return what each way got over all boxes, and whether it passes."""
    values, made = inside.joined(found), []
    for name in (one for one in dict.fromkeys(name for name, _ in values) if one != BLOBS):
        marks = [one for one in values.get((name, DEPENDS), ()) if np.isfinite(one)]
        boxes = int(np.isfinite(values[name, inside.FILLINGS[0]]).sum())
        row: Row = {"way": name, "layers": layers.get(name, layers.get(LESS.get(name, ""), "")), "boxes": boxes}
        row |= {"tested": len(marks), "depends": int(sum(marks))}
        row |= {one: float(np.nanmean(values[name, one])) if marks else None for one in (ALIKE, ALIKE_INSIDE)}
        for one in (*inside.FILLINGS, CAUSE):
            pair = [np.array(values.get((which, one), [np.nan] * len(found))) for which in (name, BLOBS)]
            row[one] = _interval(pictures, pair[0] - pair[1])
        made.append(row | {"passes": passes(row)})
    return made


def _interval(pictures: Sequence[str], differences: NDArray[np.float64]) -> Interval | None:
    """Return the mean of those that were measured, and its interval over their pictures; None without any."""
    known = np.isfinite(differences)
    if not known.any():
        return None
    names = [name for name, has in zip(pictures, known, strict=True) if has]
    return Samples([names], lambda *_: [differences[known]]).interval(("", "", ""), "")


def failures(row: Row) -> list[str]:
    """Return which tests a way fails: most of its maps have to depend on the model, by the interval of their share.

    The intervals of all differences have to be above 0.
    """
    tests = {
        "weights": bool(row["tested"]) and wilson(row["depends"], row["tested"])[0] < 0.5,
        "inside": any(row[filling][1] <= 0 for filling in inside.FILLINGS),
        "cause": row[CAUSE] is not None and row[CAUSE][1] <= 0,
    }
    return [name for name, fails in tests.items() if fails]


def passes(row: Row) -> bool:
    """Return whether a way that was tested with random weights fails in nothing."""
    return bool(row["tested"]) and not failures(row)


def choice(models: Sequence[Row]) -> str:
    """Return in words whether a way should be the default: it passes at YOLO11n and one more, where today's fails."""
    at = {model["model"]: {row["way"]: row["passes"] for row in model["rows"]} for model in models}
    real = [name for name in at if not spec(name).example]
    better = {
        way: [name for name in real if at[name].get(way) and not at[name][DEFAULT]]
        for way in dict.fromkeys(way for ways in at.values() for way in ways)
    }
    fit = {way: names for way, names in better.items() if REFERENCE in names and len(names) > 1}
    everywhere = "; ".join(f"*{way}* at {', '.join(names)}" for way, names in better.items() if names)
    if fit:
        best = max(fit, key=lambda way: len(fit[way]))
        return f"**{best[0].upper()}{best[1:]}** passes where today's default fails: at {', '.join(fit[best])}."
    return (
        f"**No way passes at {REFERENCE} and at another trained detector.** The default stays, and wherever its map is "
        "shown it says that this map shows which object, not which part of it. "
        + (f"Passed, where today's default fails: {everywhere}." if everywhere else "No way passes at any of them.")
    )


def markdown(result: Row) -> str:
    return page(
        "Detectors: does another default show which part?",
        "default --dataset FOLDER",
        result["machine"],
        "## Which default\n\n" + choice(result["models"]),
        "What each way fails: *weights*, maps that random weights draw as well; *inside*, no more effect than random "
        "blobs in the box with one filling or more; *cause*, no more of it on the part that decides than by chance.",
        _overview(result["models"]),
        *(_of_model(model) for model in result["models"]),
        note=f" Boxes that are annotated objects (same label, IoU >= 0.5), of a score of {SURE} or more and at least "
        f"{SIDE} pixels a side, {PER_PICTURE} of a picture at most: of photographs of COCO val2017, or of drawn "
        "scenes. **Depend on the weights**: maps that random weights do not draw as well, as the product tests it "
        "([proof](../docs/proof.md#does-it-depend-on-the-model-at-all)), with the 95 % interval (Wilson). Alike: the "
        "mean rank correlation with the map of random weights, over the picture and inside the box alone. **Effect**: "
        f"the log-odds of the box with only the map's strongest {SHOWN:.0%} of it kept, less those with them hidden; "
        f"what is beside the box stays. The table has the difference to random blobs of {inside.CELL} pixels in the "
        "same box. Hidden places are set to a blur of the picture, to its mean colour, or to colours interpolated from "
        "what is left (ROAD). **On the cause**: how much more of the map's strongest places in the box is on the part "
        f"that decides the class than by chance; of objects where that is at most {PROPER:.0%}. In brackets the 95 % "
        "interval of a bootstrap over pictures. A way passes where the lower end of the first interval is 50 % or more "
        f"and those of all differences are above 0. {DRISE} hides the picture {MASKS} times: a bound, of a few boxes, "
        "not tested with random weights. The backbone's layer is the one with the largest effect on "
        f"{CHOOSING} boxes of other pictures. Subtracted is the mean of {BEFORE} maps with random weights; it is "
        "tested with others. Gradients times the input are blurred; of noisy copies there are four (SmoothGrad).",
    )


def _difference(row: Row, name: str) -> str:
    return "" if row[name] is None else ends(row[name]) if row["boxes"] >= FEW else f"{row[name][0]:.2f}"


def _overview(models: Sequence[Row]) -> str:
    """Return a table of what each way fails at each model."""
    found = {(row["way"], model["model"]): row for model in models for row in model["rows"]}
    names = [model["model"] for model in models]

    def cell(row: Row | None) -> str:
        if row is None or row["boxes"] < FEW:
            return "" if row is None else "too few boxes"
        return ", ".join(failures(row)) or ("**passes**" if passes(row) else "weights not tested")

    ways = dict.fromkeys(way for way, _ in found)
    return grid(("way", *names), [(way, *(cell(found.get((way, name))) for name in names)) for way in ways])


def _of_model(model: Row) -> str:
    caused = f"; the part that decides is known of {model['caused']}" if model["caused"] else ""
    cells = [
        (
            row["way"],
            row["layers"],
            str(row["boxes"]),
            rate(row["depends"], row["tested"]) if row["tested"] else "",
            f"{row[ALIKE]:.2f}, {row[ALIKE_INSIDE]:.2f}" if row["tested"] else "",
            *(_difference(row, name) for name in (*inside.FILLINGS, CAUSE)),
            "" if not row["tested"] else "**yes**" if row["passes"] else "no",
        )
        for row in model["rows"]
    ]
    head = (
        "way",
        "layers",
        "boxes",
        "depend on the weights",
        "alike, inside",
        *inside.FILLINGS,
        "on the cause",
        "passes",
    )
    return (
        f"## {model['model']}, defaults\n\n{model['boxes']} boxes of {model['pictures']} pictures{caused}.\n\n"
        + grid(head, cells)
    )
