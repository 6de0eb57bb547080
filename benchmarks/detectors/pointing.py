"""Where a detector's maps lie, by method, layers and part: in the annotated box or not, and whether it matters there.

A box is taken for what people annotated, never for what the model found. A map that lies in the box is no proof that
the model looks there: so the hottest places are also hidden from the model, and what its score loses is measured.
"""

from __future__ import annotations

import multiprocessing
import os
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.ops import box_iou

from benchmarks.bootstrap import interval, redrawn
from benchmarks.classifiers.case import SEED
from benchmarks.classifiers.sightglass import FAST
from benchmarks.detectors.annotated import Photograph, carried, dataset, matched
from benchmarks.detectors.case import level
from benchmarks.report import grid, load, machine, where
from common.errors import ModelProblem
from explain.evidence.evidence import Evidence
from explain.evidence.layers import find
from explain.evidence.resident import RESIDENCY
from explain.maps import boxes
from explain.maps.heatmap import Heatmap, heatmaps
from explain.methods.from_evidence import raw_maps
from explain.picture.image import Image
from models.adapter import Prediction, Target
from models.catalog import available, spec
from models.preprocess import GREY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from explain.evidence.resident import Resident
    from models.adapter import Part
    from models.geometry import Geometry

MODELS = ("yolo11n", "yolo26n", "yolox_nano", "yolo11n-seg", "yolo11s", "yolo11m", "yolox_s", "yolox_m")
"""Those without trained weights on this machine are left out."""
PACKAGES = ("torch", "ultralytics", "libreyolo", "numpy")
PARTS: tuple[Part, ...] = ("class", "contrast")
HIDDEN_IN = 40
"""In how many pictures the hottest places are also hidden from the model: every line of the table is a pass."""
SHARE = 0.2
"""What is hidden, by the area of the object's box."""
BATCH = 8
BASELINES = ("box fill", "centre blob", "random map", "random in box")
DEFAULT = ("hirescam", "all neck outputs")
OWN = "neck of its own scale"
Line = tuple[str, str, str]
"""Method, layers, part."""
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

    def of(self, line: Line, measure: str) -> NDArray[np.float64]:
        return np.array(self.values[line][measure])


def pointing(models: Sequence[str], folder: Path | None, most: int | None = None) -> dict[str, Any]:
    """`most`: photographs of a dataset that are looked at, at most."""
    result: dict[str, Any] = {"machine": machine(torch.get_num_threads(), "cpu", PACKAGES)}
    photographs = [*carried(), *(dataset(folder)[:most] if folder else ())]
    if not photographs:
        raise ModelProblem("No annotated photograph is here: name a dataset, or their folder in SIGHTGLASS_WEIGHTS.")
    result["carried"], result["dataset"] = len(carried()), len(photographs) - len(carried())
    result["folder"] = folder.name if folder else ""
    wanted = [model for model in models or MODELS if models or available(spec(model))]
    # Nothing is timed here, and two processes of one thread do more than one of two.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        scores = dict(zip(wanted, pool.map(scored, wanted, repeat(photographs)), strict=True))
    result["objects"] = {
        model: [{"line": line, **row, "pictures": made.pictures} for line, row in made.values.items()]
        for model, made in scores.items()
    }
    result["machine"]["load_after"] = load()
    return result | summary(scores)


def summary(scores: dict[str, Scores]) -> dict[str, Any]:
    """Each model's table, and the verdict over all."""
    tables = [{"model": model, **table(made)} for model, made in scores.items()]
    return {"models": tables, "overall": verdict(list(scores.values()))}


def scored(model: str, photographs: Sequence[Photograph]) -> Scores:
    """One object of each picture, drawn at random: a crowd of twenty must not outvote nineteen pictures."""
    resident = RESIDENCY.get(spec(model), torch.device("cpu"))
    adapter = resident.adapter
    if not adapter.detects:
        raise ModelProblem(f"{model} is no detector.")
    presets = adapter.presets(resident.layers[1])
    paths = tuple(dict.fromkeys(path for chosen in presets.values() for path in chosen))
    layers = find(resident.layers[0], paths, adapter.module)
    scores = Scores()
    for number, photograph in enumerate(photographs):
        image = Image.open(photograph.path)
        given = adapter.prepare(image.pixels, adapter.preprocessings[0])
        evidence = Evidence(resident, given, layers)
        found = adapter.decode(evidence.outputs, given.geometry, top_k=1, confidence=0.25, iou=0.7)
        if not (same := matched(found, photograph)):
            continue
        # By the picture's own seed: whoever adds a picture changes no other's draw.
        prediction, at = random.Random(f"{SEED} {photograph.path.name}").choice(same)
        others = [Prediction(label, -1, 1.0, box) for label, box in photograph.objects]
        own = others.pop(at)
        made = lines(evidence, presets, prediction)
        made |= baselines(evidence.geometry, prediction, own, np.random.default_rng([SEED, number]))
        hides = len(scores.pictures) < HIDDEN_IN
        grey = adapter.prepare(np.full_like(image.pixels, GREY), adapter.preprocessings[0]).tensor
        drops = lost(resident, evidence, grey, prediction, own, made) if hides else {}
        scores.pictures.append(photograph.path.name)
        for line, heatmap in made.items():
            scores.add(line, **measured(heatmap, own, others), **drops.get(line, {}))
    return scores


def lines(evidence: Evidence, presets: dict[str, tuple[str, ...]], prediction: Prediction) -> dict[Line, Heatmap]:
    """A box's heatmap for each method, layers and part."""
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


def baselines(
    geometry: Geometry, prediction: Prediction, own: Prediction, seeded: np.random.Generator
) -> dict[Line, Heatmap]:
    """Maps that know nothing of the model but, at most, the box that it shows."""
    height, width = geometry.input
    left, top, right, bottom = geometry.content
    shape = (bottom - top, right - left)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)

    def blob(cx: float, cy: float, sx: float, sy: float) -> NDArray[np.float32]:
        out: NDArray[np.float32] = np.exp(-(((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2) / 2).astype(np.float32)
        return out

    filled = boxes.coverage(shape, geometry.extent, [prediction])
    rows, columns = np.nonzero(filled > 0.5)
    middle = (float(columns.mean()), float(rows.mean())) if len(rows) else (shape[1] / 2, shape[0] / 2)
    noise = smooth(seeded.random((16, 16), np.float32), shape)
    inside = boxes.coverage(shape, geometry.extent, [own])
    made = {
        # A hair hotter amid it, so that it has one hottest place.
        "box fill": filled * (1 + 1e-3 * blob(middle[0], middle[1], shape[1] / 4, shape[0] / 4)),
        "centre blob": blob(shape[1] / 2, shape[0] / 2, shape[1] / 6, shape[0] / 6),
        "random map": noise,
        "random in box": (noise + 1) * inside,
    }
    found: dict[Line, Heatmap] = {}
    target = Target(prediction.index, prediction.label)
    for name, part in made.items():
        at_input = np.zeros((height, width), np.float32)
        at_input[top:bottom, left:right] = part / part.max() if part.max() > 0 else part
        found[name, "", "class"] = Heatmap(target, name, (), (part,), at_input, geometry, "own", "ok")
    return found


def smooth(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    grown = torch.nn.functional.interpolate(torch.from_numpy(values)[None, None], shape, mode="bicubic")[0, 0]
    out: NDArray[np.float32] = (grown - grown.min()).numpy()
    return out


def measured(heatmap: Heatmap, own: Prediction, others: Sequence[Prediction]) -> dict[str, float]:
    """An empty map points nowhere: no hit, and none of its heat is anywhere."""
    if heatmap.state != "ok":
        return {"hit": 0.0, "inside": 0.0, "ratio": 0.0, "elsewhere": 0.0, "empty": 1.0}
    found = boxes.numbers(heatmap, [own], others, 0.0)
    return {
        "hit": float(found.hit),
        "inside": found.inside,
        "ratio": found.ratio,
        "elsewhere": found.elsewhere,
        "empty": 0.0,
    }


def hottest(heatmap: Heatmap, cells: int) -> NDArray[np.bool_]:
    """As many of the input's pixels, the hottest of the picture; ties as they fall, but never on a letterbox's bars."""
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
    """The share of its score that the box loses where its map's hottest places are grey, by line, of the class part.

    The score afterwards is that of the strongest candidate of the same class on the same place, IoU >= 0.5.
    """
    assert own.box is not None
    assert prediction.anchor is not None
    (sy, sx), (x0, y0, x1, y1) = evidence.geometry.scale, own.box
    cells = round(SHARE * (x1 - x0) * sx * (y1 - y0) * sy)
    asked = {line: one for line, one in maps.items() if line[2] == "class" and one.state == "ok"}
    found = {line: {"drop": 0.0} for line in maps if line[2] == "class"}
    box = evidence.outputs.boxes[0, prediction.anchor].detach()[None]
    masks: dict[bytes, tuple[NDArray[np.bool_], list[Line]]] = {}
    for line, heatmap in asked.items():
        mask = hottest(heatmap, cells)
        # The neck of its own scale is also one of the three by itself.
        masks.setdefault(np.packbits(mask).tobytes(), (mask, []))[1].append(line)
    held = list(masks.values())
    for start in range(0, len(held), BATCH):
        part = held[start : start + BATCH]
        hide = torch.from_numpy(np.stack([mask for mask, _ in part]))[:, None]
        given = resident.place(torch.where(hide, grey, evidence.tensor))
        with torch.no_grad():
            outputs = resident.adapter.run(given)
            scores, places = outputs.scores[:, prediction.index], outputs.boxes
        for i, (_, owners) in enumerate(part):
            there = box_iou(box, places[i])[0] >= boxes.SAME
            after = float(scores[i].masked_fill(~there, 0).max())
            for line in owners:
                found[line]["drop"] = 1 - after / prediction.score
    return found


def resampled(models: Sequence[Scores]) -> list[NDArray[np.float64]]:
    """By model how often each of its objects counts in each resample, (R, n); pictures are drawn, for all alike."""
    return redrawn([scores.pictures for scores in models])


def table(scores: Scores) -> dict[str, Any]:
    """Every line with its means and intervals, and what follows from them."""
    weights = resampled([scores])
    rows = []
    for method, layers, part in scores.values:
        line = (method, layers, part)
        row: dict[str, Any] = {"method": method, "layers": layers, "part": part}
        for measure in ("hit", "inside", "elsewhere", "empty", "drop"):
            row[measure] = interval([scores.of(line, measure)], weights)
        row["ratio"] = float(np.median(scores.of(line, "ratio")))
        rows.append(row)
    return {
        "objects": len(scores.pictures),
        "hidden": int(np.isfinite(scores.of((*DEFAULT, "class"), "drop")).sum()),
        "rows": rows,
        "verdict": verdict([scores]),
    }


JUDGED = ("hit", "inside", "drop")
"""What decides, each with the same weight: the pointing game, the energy, and what hiding costs."""


def verdict(models: Sequence[Scores]) -> dict[str, Any]:
    """Method and layers with the best mean rank over `JUDGED`, each model with the same weight, against the default."""
    shared = [
        line
        for line in models[0].values
        if line[1] and line[2] == "class" and all(line in scores.values for scores in models)
    ]
    means = np.array(
        [[np.mean([np.nanmean(s.of(line, measure)) for s in models]) for measure in JUDGED] for line in shared]
    )
    ranks = np.stack([(-column[:, None] < -column[None, :]).sum(0) + 1 for column in means.T], 1).mean(1)
    order = np.argsort(ranks, kind="stable")
    weights = resampled(models)
    default = shared.index((*DEFAULT, "class"))

    def against(line: Line, other: Line, measures: Sequence[str] = JUDGED) -> dict[str, tuple[float, float, float]]:
        """The difference, paired object by object."""
        return {
            measure: interval([s.of(line, measure) - s.of(other, measure) for s in models], weights)
            for measure in measures
        }

    best = shared[order[0]]
    return {
        "best": best[:2],
        "means": dict(zip(JUDGED, means[order[0]].tolist(), strict=True)),
        "first": [
            {"line": shared[i][:2], "rank": float(ranks[i]), **dict(zip(JUDGED, means[i].tolist(), strict=True))}
            for i in order[:8]
        ],
        "default_place": int(np.flatnonzero(order == default)[0]) + 1,
        "default_means": dict(zip(JUDGED, means[default].tolist(), strict=True)),
        "of": len(shared),
        "to_default": against(best, shared[default]),
        "to_next": against(best, shared[order[1]]),
        "to_random": against(best, ("random in box", "", "class"), ("drop",)),
        "contrast": against((*best[:2], "contrast"), best, ("hit", "inside")),
    }


HEAD = ("method", "layers", "hit", "energy", "to its area", "others", "empty", "lost", "contrast: hit, energy")
SAID = {"hit": "hits", "inside": "energy in the box", "drop": "score lost when hidden"}


def words(made: dict[str, Any]) -> str:
    """The verdict, one paragraph; it claims only what the paired intervals show."""
    first, (method, layers) = made["first"], made["best"]
    named = f"{method} on {layers}"
    parts = [f"Best mean rank: **{named}** of {made['of']} ({_three(made['means'])})."]
    if (method, layers) == DEFAULT:
        parts.append(f"It is the present default. Next: {' on '.join(first[1]['line'])} ({_three(first[1])}).")
        parts.append(f"To that one {_differences(made['to_next'])}.")
    else:
        parts.append(
            f"The present default, {' on '.join(DEFAULT)}, has place {made['default_place']} "
            f"({_three(made['default_means'])}); to it {_differences(made['to_default'])}."
        )
        parts.append(f"Next: {' on '.join(first[1]['line'])}; to that one {_differences(made['to_next'])}.")
        clear = [name for name, (_, low, _) in made["to_default"].items() if low > 0]
        worse = [name for name, (_, _, high) in made["to_default"].items() if high < 0]
        if clear and not worse:
            parts.append(f"Better than the default by more than chance in {_and(clear)}, worse in nothing.")
        elif clear or worse:
            parts.append(f"Better than the default in {_and(clear)}, worse in {_and(worse)}.")
        else:
            parts.append("These pictures do not tell it from the default: every interval holds 0.")
    parts.append(f"To places drawn at random in the box {_differences(made['to_random'])}.")
    parts.append(f"Its contrast instead of its class: {_differences(made['contrast'])}.")
    return " ".join(parts)


def _three(means: dict[str, float]) -> str:
    return ", ".join(f"{SAID[name]} {means[name]:.2f}" for name in JUDGED)


def _differences(found: dict[str, tuple[float, float, float]]) -> str:
    return ", ".join(f"{SAID[name]} {at:+.2f} [{low:+.2f}, {high:+.2f}]" for name, (at, low, high) in found.items())


def _and(names: Sequence[str]) -> str:
    return " and ".join(SAID[name] for name in names) or "nothing"


def markdown(result: dict[str, Any]) -> str:
    parts = [
        "# Detectors: where the maps lie",
        "Written by `python -m benchmarks pointing`; do not edit by hand.",
        where(result["machine"]),
        f"{result['carried']} annotated photographs of COCO that lie beside the weights"
        + (f" and the first {result['dataset']} of {result['folder']}" if result["dataset"] else "")
        + ". Of each one box from a confidence of 0.25 on that is an annotated object (same label, IoU >= 0.5), drawn "
        "at random. Hit: the hottest place lies in the annotated box. Energy: the "
        "share of the heat in it; to its area: the median of that by the box's share of the picture. Others: heat in "
        f"boxes of other objects. Lost: what share of its score the box loses when the hottest pixels, {SHARE:.0%} of "
        f"the box's area, are grey; in {HIDDEN_IN} pictures. In brackets the 95 % interval of a bootstrap "
        "over pictures. An empty map counts as a miss everywhere. The rank is the mean of the ranks in hits, energy "
        "and loss; differences are paired, object by object.",
        "## What follows",
        f"Over all models, each with the same weight: {words(result['overall'])}",
        *(f"{made['model']}: {words(made['verdict'])}" for made in result["models"]),
        "First eight over all models:",
        grid(
            ("method", "layers", "mean rank", *(SAID[name] for name in JUDGED)),
            [
                (*row["line"], f"{row['rank']:.1f}", *(f"{row[name]:.2f}" for name in JUDGED))
                for row in result["overall"]["first"]
            ],
        ),
    ]
    for made in result["models"]:
        parts += [
            f"## {made['model']}",
            f"{made['objects']} objects, a picture each; hidden in {made['hidden']} of them.",
            grid(
                (
                    "method",
                    "layers",
                    "hit",
                    "energy",
                    "to its area",
                    "others",
                    "empty",
                    "lost",
                    "contrast (hit, energy)",
                ),
                list(_rows(made["rows"])),
            ),
        ]
    return "\n\n".join(parts) + "\n"


def _rows(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    contrast = {(row["method"], row["layers"]): row for row in rows if row["part"] == "contrast"}
    for row in sorted((one for one in rows if one["part"] == "class"), key=lambda one: bool(one["layers"])):
        other = contrast.get((row["method"], row["layers"]))
        yield (
            row["method"],
            row["layers"] or "baseline",
            _ends(row["hit"]),
            _ends(row["inside"]),
            f"{row['ratio']:.1f}",
            f"{row['elsewhere'][0]:.2f}",
            f"{row['empty'][0]:.0%}",
            _ends(row["drop"]),
            f"{other['hit'][0]:.2f}, {other['inside'][0]:.2f}" if other else "",
        )


def _ends(found: tuple[float, float, float]) -> str:
    return f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]"
