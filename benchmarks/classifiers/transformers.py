"""Measure vision transformers: cost of five classes, and the best layers."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from benchmarks.classifiers import tiny_transformers
from benchmarks.classifiers.case import Case
from benchmarks.classifiers.peers import peers
from benchmarks.classifiers.sightglass import GRADCAM
from benchmarks.classifiers.speed import compared
from benchmarks.report import FOLDER, Row, grid, machine, page, times
from benchmarks.timing import CPU, SEED, Contender
from benchmarks.truth.measures import MEASURES, box_of, measured
from sightglass.explain.backward.transformer import sparse
from sightglass.explain.evidence import evidence as engine
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import find
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.explanation import explain
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.catalog import spec
from sightglass.models.demo import scenes
from sightglass.models.load import load
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sightglass.explain.explanation import Explanation

OUT = FOLDER / "TRANSFORMERS.md"
MODELS = ("vit_b_16", "timm/vit_small_patch16_224", "timm/vit_tiny_patch16_224", "swin_t")
ROUNDS = 5
LIMIT = 1.3
"""Of five maps of a ViT, to a bare forward."""
CAMS = ("gradcam", "gradcam++", "hirescam", "xgradcam", "layercam", "eigengradcam")
ATTENTION = ("attention", "rollout", "chefer")
STEPS, SCENES = 300, 120
_VIT = (*(f"blocks.{i}.norm1" for i in range(4)), "blocks.3.attn", "blocks.3.norm2", "blocks.3")
LAYERS = {
    "vit": _VIT,
    "swin": (*(f"layers.{i}.blocks.{j}.norm1" for i in range(2) for j in range(2)), "layers.1.blocks.1.norm2",
             "layers.1.blocks.1", "norm"),
    "demo-vit": ("patch_embed.proj.4", *_VIT),
}  # fmt: skip
TITLES = {
    "vit": "a ViT with a class token, trained here",
    "swin": "a Swin, trained here",
    "demo-vit": "demo-vit, whose tokens are averaged",
}


def transformers(models: Sequence[str], path: Path, device: torch.device, rounds: int, classes: int) -> Row:
    packages = ("torch", "torchvision", "timm", "grad-cam", "torchcam", "numpy")
    result: Row = {"machine": machine(torch.get_num_threads(), str(device), packages), "rounds": rounds}
    result["speed"] = [speed(model, path, device, rounds, classes) for model in models or MODELS]
    result["layers"] = [choice(kind) for kind in LAYERS] if not models else []
    return result


def speed(model: str, path: Path, device: torch.device, rounds: int, classes: int) -> Row:
    """Measure one model: the peers with the reshape that they document, and ours with and without the zeros."""
    case = Case.build(model, path, device, classes)
    if case.weights == "random":
        _awaken(case.resident.adapter.module)
    lines = [line for line in peers(case) if line.id in ("bare", "grad_cam", "torch_cam")] + [*_own(case)]
    return {
        "model": model,
        "weights": case.weights,
        "layer": case.layer.path,
        **compared(case, lines, rounds, warm_up=1),
        "plain": _plain_difference(case),
    }


def _own(case: Case) -> Iterator[Contender]:
    count = len(case.targets)

    def plain(_: Any) -> Any:
        with patch.object(engine, "sparse", nullcontext):
            return case.maps([GRADCAM])

    yield Contender("maps", f"Sightglass, {count} maps at input size", lambda _: case.maps([GRADCAM]))
    if case.layer.layout == "tokens":
        yield Contender("plain", f"the same {count} maps by autograd alone", plain)
    for name in ATTENTION if len({one.grid for one in case.resident.attentions}) == 1 else ():
        yield Contender(
            name,
            f"{name} of {count} classes, after the pass",
            lambda evidence, name=name: _explained(case.image, evidence, name, case.indices),  # type: ignore[misc]
            case.evidence,
        )


def _explained(image: Image, evidence: Evidence, method: str, classes: tuple[int, ...]) -> Explanation:
    return explain(image, evidence, Options(method=method, targets=classes), milliseconds={})


def _awaken(module: nn.Module) -> None:
    """Replace zeros by random numbers: torchvision's untrained heads are 0, and so would be every gradient."""
    generator = torch.Generator().manual_seed(SEED)
    for parameter in module.parameters():
        if not parameter.any():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)


def _plain_difference(case: Case) -> float | None:
    """Return the largest difference of a gradient from plain autograd's, as a share of its largest number."""
    if case.layer.layout != "tokens":
        return None
    found = []
    for context in (sparse, nullcontext):
        with patch.object(engine, "sparse", context):
            found.append([one.values for one in case.evidence().gradients(case.targets)[0]])
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*found, strict=True))


def choice(kind: str) -> Row:
    """Measure how well maps of each layer and method point at the one thing in pictures that the net names rightly."""
    resident = _resident(kind)
    layers = find(resident, LAYERS[kind])
    scores: dict[tuple[str, str], list[list[float]]] = {}
    count = 0
    for pixels, index, mask in _pictures(kind):
        given = resident.adapter.prepare(pixels, resident.adapter.preprocessings[0])
        evidence = Evidence(resident, given, layers)
        if int(evidence.outputs.logits.argmax()) != index:
            continue
        count += 1
        image = Image.open(pixels)
        for method in CAMS:
            for one in _explained(image, evidence, method, (index,)).by_layer(0):
                score = measured(one.at_input if one.state == "ok" else None, (mask, None))[0]
                scores.setdefault((method, one.layers[0]), []).append(score)
        last = Evidence(resident, given, layers[-1:])
        for method in ATTENTION if kind != "swin" else ():
            (one,) = _explained(image, last, method, (index,)).heatmaps
            scores.setdefault((method, ""), []).append(measured(one.at_input, (mask, None))[0])
    rows = [
        {"method": method, "layer": layer} | dict(zip(MEASURES, np.mean(values, 0).tolist(), strict=True))
        for (method, layer), values in scores.items()
    ]
    return {"kind": kind, "pictures": count, "default": resident.default_layers[0], "rows": rows}


def _resident(kind: str) -> Resident:
    if kind.startswith("demo"):
        return Resident(load(replace(spec(kind), target_layers=())), CPU)
    side, half = tiny_transformers.SIDE, (0.5, 0.5, 0.5)
    row = ModelSpec(kind, "benchmarks", "s", "benchmarks", kind, "classify", "none")
    net = tiny_transformers.train(kind, STEPS)
    preprocessing = Preprocessing((side, side), side, half, half)
    return Resident(Classifier(row, net, tiny_transformers.NAMES, preprocessing, kind), CPU)


def _pictures(kind: str) -> Iterator[tuple[Any, int, Any]]:
    for number in range(SCENES):
        if kind.startswith("demo"):
            scene = scenes.draw(scenes.sample(number, task="classify", held_out=True))
            (thing,) = scene.objects
            height, width = scene.pixels.shape[:2]
            mask = np.zeros((height, width), bool)
            mask[box_of(thing.box, (height, width))] = True
            yield scene.pixels, thing.index, mask
        else:
            drawn = tiny_transformers.draw(10**6 + number)
            yield drawn.pixels, drawn.index, drawn.mask


def markdown(result: Row) -> str:
    parts = [
        "## Five classes",
        "All contenders run in one process on the same picture, weights, layer and classes, once a round each, in "
        f"another order every round; medians of {result['rounds']} rounds. The peers are given a reshape_transform "
        "that makes a map of tokens; Sightglass needs none. Behind a ViT's last attention only the rows that the "
        "answer is read from have a gradient, and the walk back leaves the others out.",
    ]
    for table in result["speed"]:
        ratio = next(x["ratio"] for x in table["lines"] if x["id"] == "maps")
        about = f"Layer `{table['layer']}`, {table['weights']} weights."
        if table["difference"] is not None:
            about += f" Largest difference of a map from pytorch-grad-cam's: {table['difference']:.0e}."
        if table["plain"] is not None:
            verdict = "pass" if ratio <= LIMIT else "**miss**"
            about += f" Of a gradient from plain autograd's, of its largest number: {table['plain']:.0e}."
            about += f" Goal: at most {LIMIT}x a bare forward: {verdict}."
        parts += [f"### {table['model']}", about, times(table["lines"])]
    if result["layers"]:
        parts += [
            "## At which layer",
            "Drawn pictures with one thing whose place is known, among those that the net names rightly. Each cell: "
            "how often the hottest place is on the thing, and the share of the heat there.",
        ]
    for table in result["layers"]:
        found = {(one["method"], one["layer"]): one for one in table["rows"]}
        body = [
            (layer + (" (default)" if layer == table["default"] else ""), *(_cell(found.get((m, layer))) for m in CAMS))
            for layer in LAYERS[table["kind"]]
        ]
        parts += [f"### {TITLES[table['kind']]}", f"{table['pictures']} pictures.", grid(("layer", *CAMS), body)]
        if attended := [(m, _cell(found[m, ""])) for m in ATTENTION if (m, "") in found]:
            parts.append(grid(("of attention", "hit, share"), attended))
    return page("Transformers", "transformers", result["machine"], *parts)


def _cell(one: Row | None) -> str:
    return "" if one is None else f"{one['hit']:.2f}, {one['energy']:.2f}"
