"""Pointing game for detectors, by method, layers and part.

Do maps point into the annotated box, and does that matter?

A box is one that people annotated, never one that the model found. A map inside the box is no proof that the model
looks there: so the hottest places are also hidden from the model, and the loss of its score is measured.
"""

from __future__ import annotations

import multiprocessing
import os
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision.ops import box_iou

from benchmarks import baselines
from benchmarks.bootstrap import Line, Samples
from benchmarks.case import FAST
from benchmarks.detectors.annotated import Photograph, dataset, load_packaged, match
from benchmarks.detectors.case import level
from benchmarks.report import Row, differences, ends, grid, machine, means, page
from benchmarks.timing import CPU, SEED
from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import find
from sightglass.explain.evidence.resident import RESIDENCY
from sightglass.explain.maps import boxes
from sightglass.explain.maps.heatmap import Heatmap, heatmaps
from sightglass.explain.methods.from_evidence import raw_maps
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Prediction, Target
from sightglass.models.catalog import available, spec
from sightglass.models.preprocess import GREY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.explain.evidence.resident import Resident
    from sightglass.models.adapter import Part
    from sightglass.models.geometry import Geometry

MODELS = ("yolo11n", "yolo26n", "yolox_nano", "yolo11n-seg", "yolo11s", "yolo11m", "yolox_s", "yolox_m")
"""Those without trained weights on this machine are left out."""
PACKAGES = ("torch", "ultralytics", "libreyolo", "numpy")
PARTS: tuple[Part, ...] = ("class", "contrast")
HIDDEN_IN = 40
"""In how many pictures the hottest places are also hidden from the model: every line of the table is a pass."""
SHARE = 0.2
"""What is hidden, by the area of the object's box."""
BATCH = 8
DEFAULT = ("hirescam", "all neck outputs")
OWN = "neck of its own scale"
MEASURES = ("hit", "inside", "ratio", "elsewhere", "empty", "drop")


@dataclass
class Scores:
    """What every line of the table got, object by object; NaN where it was not measured."""

    pictures: list[str] = field(default_factory=list)
    """Which picture each object is of."""
    values: dict[Line, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, line: Line, **measured: float) -> None:
        row = self.values.setdefault(line, {name: [] for name in MEASURES})
        for name in MEASURES:
            row[name].append(measured.get(name, float("nan")))


def samples(models: Sequence[Scores]) -> Samples:
    return Samples(
        [of.pictures for of in models], lambda line, measure: [np.array(of.values[line][measure]) for of in models]
    )


def pointing(models: Sequence[str], folder: Path | None, most: int | None = None) -> Row:
    """Measure every model on all photographs; `most`: the maximum number of those of a dataset."""
    result: Row = {"machine": machine(torch.get_num_threads(), "cpu", PACKAGES)}
    photographs = [*load_packaged(), *(dataset(folder)[:most] if folder else ())]
    if not photographs:
        raise ModelProblem("No annotated photograph is here: name a dataset, or their folder in SIGHTGLASS_WEIGHTS.")
    result["carried"], result["dataset"] = len(load_packaged()), len(photographs) - len(load_packaged())
    result["folder"] = folder.name if folder else ""
    wanted = [model for model in models or MODELS if models or available(spec(model))]
    # Nothing is timed here, and two processes of one thread do more than one of two.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        scores = dict(zip(wanted, pool.map(scored, wanted, repeat(photographs)), strict=True))
    result["objects"] = {
        model: [{"line": line, **row, "pictures": made.pictures} for line, row in made.values.items()]
        for model, made in scores.items()
    }
    return result | summary(scores)


def summary(scores: dict[str, Scores]) -> Row:
    tables = [{"model": model, **table(made)} for model, made in scores.items()]
    return {"models": tables, "overall": verdict(list(scores.values()))}


def scored(model: str, photographs: Sequence[Photograph]) -> Scores:
    """Score one object of each picture, drawn at random: a crowd of twenty must not outvote nineteen pictures."""
    resident = RESIDENCY.get(spec(model), CPU)
    adapter = resident.adapter
    if not adapter.detects:
        raise ModelProblem(f"{model} is no detector.")
    presets = adapter.presets(resident.layers)
    paths = tuple(dict.fromkeys(path for chosen in presets.values() for path in chosen))
    layers = find(resident, paths)
    scores = Scores()
    for number, photograph in enumerate(photographs):
        image = Image.open(photograph.path)
        given = adapter.prepare(image.pixels, adapter.preprocessings[0])
        evidence = Evidence(resident, given, layers)
        found = adapter.decode(evidence.outputs, given.geometry, top_k=1, confidence=0.25, iou=0.7)
        if not (same := match(found, photograph)):
            continue
        # By the picture's own seed: a new picture changes no other's draw.
        prediction, at = random.Random(f"{SEED} {photograph.path.name}").choice(same)
        others = [Prediction(label, -1, 1.0, box) for label, box in photograph.objects]
        own = others.pop(at)
        made = lines(evidence, presets, prediction)
        made |= baseline_maps(evidence.geometry, prediction, own, np.random.default_rng([SEED, number]))
        hides = len(scores.pictures) < HIDDEN_IN
        grey = adapter.prepare(np.full_like(image.pixels, GREY), adapter.preprocessings[0]).tensor
        drops = lost(resident, evidence, grey, prediction, own, made) if hides else {}
        scores.pictures.append(photograph.path.name)
        for line, heatmap in made.items():
            scores.add(line, **measured(heatmap, own, others), **drops.get(line, {}))
    return scores


def lines(evidence: Evidence, presets: dict[str, tuple[str, ...]], prediction: Prediction) -> dict[Line, Heatmap]:
    """Return a box's heatmap for each method, layers and part."""
    assert prediction.anchor is not None
    at = {layer.path: i for i, layer in enumerate(evidence.layers)}
    necks = [name for name in presets if name.startswith("neck ")]
    own = necks[level(evidence.outputs.levels, prediction.anchor)]
    made: dict[Line, Heatmap] = {}
    for part in PARTS:
        target = Target(prediction.index, prediction.label, (prediction.anchor,), part)
        for method in FAST:
            raws = raw_maps(evidence, method, [target])
            for name, paths in presets.items():
                chosen = [raws[at[path]] for path in paths]
                (made[method.id, name, part],) = heatmaps(
                    chosen, [target], method=method.id, layers=paths, geometry=evidence.geometry, scale="own"
                )
            made[method.id, OWN, part] = made[method.id, own, part]
    return made


def baseline_maps(
    geometry: Geometry, prediction: Prediction, own: Prediction, seeded: np.random.Generator
) -> dict[Line, Heatmap]:
    """Return maps that know nothing of the model but, at most, the box that it shows."""
    left, top, right, bottom = geometry.content
    shape = (bottom - top, right - left)
    noise = baselines.noise(seeded, shape)
    made = {
        "box fill": baselines.filled(boxes.coverage(shape, geometry.extent, [prediction])),
        "centre blob": baselines.centre_blob(shape),
        "random map": noise,
        "random in box": (noise + 1) * boxes.coverage(shape, geometry.extent, [own]),
    }
    found: dict[Line, Heatmap] = {}
    target = Target(prediction.index, prediction.label)
    for name, part in made.items():
        at_input = np.zeros(geometry.input, np.float32)
        at_input[top:bottom, left:right] = part / part.max() if part.max() > 0 else part
        found[name, "", "class"] = Heatmap(target, name, (), (part,), at_input, geometry, "own", "ok")
    return found


def measured(heatmap: Heatmap, own: Prediction, others: Sequence[Prediction]) -> dict[str, float]:
    """Return `MEASURES` but `drop`; an empty map has no hit, and none of its heat is anywhere."""
    shares = ("hit", "inside", "ratio", "elsewhere")
    if heatmap.state != "ok":
        return dict.fromkeys(shares, 0.0) | {"empty": 1.0}
    found = boxes.numbers(heatmap, [own], others, 0.0)
    return {name: float(getattr(found, name)) for name in shares} | {"empty": 0.0}


def hottest(heatmap: Heatmap, cells: int) -> NDArray[np.bool_]:
    """Return the mask of the input's `cells` hottest pixels; ties as they fall, but never on a letterbox's bars."""
    left, top, right, bottom = heatmap.geometry.content
    content = heatmap.content.ravel()
    cells = min(max(cells, 1), content.size)
    last = np.partition(content, -cells)[-cells]
    chosen = content > last
    chosen[np.flatnonzero(content == last)[: cells - int(chosen.sum())]] = True
    out = np.zeros(heatmap.at_input.shape, bool)
    out[top:bottom, left:right] = chosen.reshape(bottom - top, right - left)
    return out


def lost(
    resident: Resident,
    evidence: Evidence,
    grey: torch.Tensor,
    prediction: Prediction,
    own: Prediction,
    maps: dict[Line, Heatmap],
) -> dict[Line, dict[str, float]]:
    """Return the share of its score that the box loses if its map's hottest places are grey, by line of the class part.

    The score afterwards is that of the strongest candidate of the same class at the same place, IoU >= 0.5.
    """
    assert own.box is not None
    assert prediction.anchor is not None
    (sy, sx), (x0, y0, x1, y1) = evidence.geometry.scale, own.box
    cells = round(SHARE * (x1 - x0) * sx * (y1 - y0) * sy)
    found = {line: {"drop": 0.0} for line in maps if line[2] == "class"}
    box = evidence.outputs.boxes[0, prediction.anchor].detach()[None]
    masks: dict[bytes, tuple[NDArray[np.bool_], list[Line]]] = {}
    for line in (line for line in found if maps[line].state == "ok"):
        mask = hottest(maps[line], cells)
        # The neck of its own scale is also one of the three single ones.
        masks.setdefault(np.packbits(mask).tobytes(), (mask, []))[1].append(line)
    hidden = list(masks.values())
    for start in range(0, len(hidden), BATCH):
        part = hidden[start : start + BATCH]
        hide = torch.from_numpy(np.stack([mask for mask, _ in part]))[:, None]
        given = resident.move_input(torch.where(hide, grey, evidence.tensor))
        with torch.no_grad():
            outputs = resident.adapter.run(given)
            scores, places = outputs.scores[:, prediction.index], outputs.boxes
        for i, (_, owners) in enumerate(part):
            there = box_iou(box, places[i])[0] >= boxes.SAME
            after = float(scores[i].masked_fill(~there, 0).max())
            for line in owners:
                found[line]["drop"] = 1 - after / prediction.score
    return found


def table(scores: Scores) -> Row:
    """Return every line with its means and intervals, and what follows from them."""
    found = samples([scores])
    measures = ("hit", "inside", "elsewhere", "empty", "drop")
    return {
        "objects": len(scores.pictures),
        "hidden": int(np.isfinite(scores.values[*DEFAULT, "class"]["drop"]).sum()),
        "rows": [
            dict(zip(("method", "layers", "part"), line, strict=True))
            | {measure: found.interval(line, measure) for measure in measures}
            | {"ratio": float(np.median(values["ratio"]))}
            for line, values in scores.values.items()
        ],
        "verdict": verdict([scores]),
    }


JUDGED = {"hit": "hits", "inside": "energy in the box", "drop": "score lost when hidden"}
"""What decides, each with the same weight: the pointing game, the energy, and the cost of hiding; and their names."""


def verdict(models: Sequence[Scores]) -> Row:
    """Compare the method and layers with the best mean rank over `JUDGED` with the default; models weigh the same."""
    found = samples(models)
    ranked = found.ranked(
        [
            line
            for line in models[0].values
            if line[1] and line[2] == "class" and all(line in scores.values for scores in models)
        ],
        tuple(JUDGED),
    )
    order, default = [line for _, line in ranked], (*DEFAULT, "class")

    def row(rank: float, line: Line) -> Row:
        return {"line": line[:2], "rank": rank} | {measure: found.interval(line, measure) for measure in JUDGED}

    def against(line: Line, other: Line, measures: Iterable[str] = JUDGED) -> Row:
        return {measure: found.difference(line, other, measure) for measure in measures}

    best, place = order[0], order.index(default)
    return {
        "first": [row(*one) for one in ranked[:8]],
        "default_place": place + 1,
        "default": row(*ranked[place]),
        "of": len(order),
        "to_default": against(best, default),
        "to_next": against(best, order[1]),
        "to_random": against(best, ("random in box", "", "class"), ("drop",)),
        "contrast": against((*best[:2], "contrast"), best, ("hit", "inside")),
    }


def words(made: Row) -> str:
    """Return the verdict as one paragraph; it claims only what the paired intervals show."""
    best, second = made["first"][:2]
    method, layers = best["line"]
    parts = [f"Best mean rank: **{method} on {layers}** of {made['of']} ({means(best, JUDGED, JUDGED)})."]
    following = f"Next: {' on '.join(second['line'])}"
    if (method, layers) == DEFAULT:
        parts.append(f"It is the present default. {following} ({means(second, JUDGED, JUDGED)}).")
        parts.append(f"To that one {differences(made['to_next'], JUDGED)}.")
    else:
        parts.append(
            f"The present default, {' on '.join(DEFAULT)}, has place {made['default_place']} "
            f"({means(made['default'], JUDGED, JUDGED)}); to it {differences(made['to_default'], JUDGED)}."
        )
        parts.append(f"{following}; to that one {differences(made['to_next'], JUDGED)}.")
        better = [JUDGED[name] for name, (_, low, _) in made["to_default"].items() if low > 0]
        worse = [JUDGED[name] for name, (_, _, high) in made["to_default"].items() if high < 0]
        if better and not worse:
            parts.append(f"Better than the default by more than chance in {' and '.join(better)}, worse in nothing.")
        elif better or worse:
            parts.append(
                f"Better than the default in {' and '.join(better) or 'nothing'}, worse in {' and '.join(worse)}."
            )
        else:
            parts.append("These pictures do not tell it from the default: every interval holds 0.")
    parts.append(f"To places drawn at random in the box {differences(made['to_random'], JUDGED)}.")
    parts.append(f"Its contrast instead of its class: {differences(made['contrast'], JUDGED)}.")
    return " ".join(parts)


HEAD = ("method", "layers", "hit", "energy", "to its area", "others", "empty", "lost", "contrast (hit, energy)")


def markdown(result: Row) -> str:
    first = [
        (*row["line"], f"{row['rank']:.1f}", *(f"{row[name][0]:.2f}" for name in JUDGED))
        for row in result["overall"]["first"]
    ]
    parts = [
        f"{result['carried']} annotated photographs of COCO beside the weights"
        + (f" and the first {result['dataset']} of {result['folder']}" if result["dataset"] else "")
        + ". Of each one box from a confidence of 0.25 on that is an annotated object (same label, IoU >= 0.5), drawn "
        "at random. Hit: the hottest place is in the annotated box. Energy: the "
        "share of the heat in it; to its area: the median of that by the box's share of the picture. Others: heat in "
        f"boxes of other objects. Lost: what share of its score the box loses when the hottest pixels, {SHARE:.0%} of "
        f"the box's area, are grey; in {HIDDEN_IN} pictures. In brackets the 95 % interval of a bootstrap "
        "over pictures. An empty map counts as a miss everywhere. The rank is the mean of the ranks in hits, energy "
        "and loss; differences are paired, object by object.",
        "## What follows",
        f"Over all models, each with the same weight: {words(result['overall'])}",
        *(f"{made['model']}: {words(made['verdict'])}" for made in result["models"]),
        "First eight over all models:",
        grid(("method", "layers", "mean rank", *JUDGED.values()), first),
    ]
    for made in result["models"]:
        parts += [
            f"## {made['model']}",
            f"{made['objects']} objects, a picture each; hidden in {made['hidden']} of them.",
            grid(HEAD, list(_rows(made["rows"]))),
        ]
    return page("Detectors: where the maps point", "pointing", result["machine"], *parts)


def _rows(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    contrast = {(row["method"], row["layers"]): row for row in rows if row["part"] == "contrast"}
    for row in sorted((one for one in rows if one["part"] == "class"), key=lambda one: bool(one["layers"])):
        other = contrast.get((row["method"], row["layers"]))
        yield (
            row["method"],
            row["layers"] or "baseline",
            ends(row["hit"]),
            ends(row["inside"]),
            f"{row['ratio']:.1f}",
            f"{row['elsewhere'][0]:.2f}",
            f"{row['empty'][0]:.0%}",
            ends(row["drop"]),
            f"{other['hit'][0]:.2f}, {other['inside'][0]:.2f}" if other else "",
        )
