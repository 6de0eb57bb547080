"""Transformers: what five classes cost beside the peers, and at which layer maps are right."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from benchmarks.classifiers import tiny_transformers
from benchmarks.classifiers.case import SEED, Case
from benchmarks.classifiers.peers import peers
from benchmarks.classifiers.sightglass import maps
from benchmarks.classifiers.speed import equality, measure, row
from benchmarks.contender import Contender
from benchmarks.report import FOLDER, grid, load, machine, times, where
from benchmarks.truth.measures import measured
from explain.backward.transformer import sparse
from explain.evidence import evidence as engine
from explain.evidence.evidence import Evidence
from explain.evidence.layers import find
from explain.evidence.resident import Resident
from explain.explanation import explain
from explain.options import Options
from explain.picture.image import Image
from models.adapter import ModelSpec
from models.adapters.classifier import Classifier
from models.preprocess import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

OUT = FOLDER / "TRANSFORMERS.md"
MODELS = ("vit_b_16", "timm/vit_small_patch16_224", "timm/vit_tiny_patch16_224", "swin_t")
ROUNDS = 5
LIMIT = 1.3
"""Of five maps of a ViT, to a bare forward."""
CAMS = ("gradcam", "gradcam++", "hirescam", "xgradcam", "layercam", "eigengradcam")
ATTENTION = ("attention", "rollout", "chefer")
STEPS, SCENES = 300, 120
LAYERS = {
    "vit": (*(f"blocks.{i}.norm1" for i in range(4)), "blocks.3.attn", "blocks.3.norm2", "blocks.3"),
    "swin": (
        *(f"layers.{i}.blocks.{j}.norm1" for i in range(2) for j in range(2)),
        "layers.1.blocks.1.norm2",
        "layers.1.blocks.1",
        "norm",
    ),
    "demo-vit": (
        "patch_embed.proj.4",
        *(f"blocks.{i}.norm1" for i in range(4)),
        "blocks.3.attn",
        "blocks.3.norm2",
        "blocks.3",
    ),
}
SAID = {
    "vit": "a ViT with a class token, trained here",
    "swin": "a Swin, trained here",
    "demo-vit": "demo-vit, whose tokens are averaged",
}


def transformers(models: Sequence[str], path: Path, device: torch.device, rounds: int, classes: int) -> dict[str, Any]:
    """Both halves, as plain values."""
    packages = ("torch", "torchvision", "timm", "grad-cam", "torchcam", "numpy")
    result: dict[str, Any] = {"machine": machine(torch.get_num_threads(), str(device), packages), "rounds": rounds}
    result["speed"] = [speed(model, path, device, rounds, classes) for model in models or MODELS]
    result["layers"] = [choice(kind) for kind in LAYERS] if not models else []
    result["machine"]["load_after"] = load()
    return result


def speed(model: str, path: Path, device: torch.device, rounds: int, classes: int) -> dict[str, Any]:
    """One model's table: the peers with the reshape that they document, and ours with and without the zeros."""
    case = Case.build(model, path, device, classes)
    if case.weights == "random":
        _awaken(case.resident.adapter.module)
    kept = ("bare", "grad_cam", "torch_cam")
    lines = [line for line in peers(case) if line.id in kept] + [*_own(case)]
    taken = measure(lines, rounds, device, warm_up=1)
    bare = float(np.median(taken["bare"]))
    same = equality(case, {line.id: line for line in lines})
    return {
        "model": model,
        "weights": case.weights,
        "layer": case.layer.path,
        **same,
        "plain": _plain_difference(case),
        "lines": [row(line, taken[line.id], bare) for line in lines],
    }


def _own(case: Case) -> Iterator[Contender]:
    count = len(case.targets)

    def plain(_: Any) -> Any:
        with patch.object(engine, "sparse", nullcontext):
            return maps(case)

    yield Contender("maps", f"Sightglass, {count} maps at input size", lambda _: maps(case))
    if case.layer.layout == "tokens":
        yield Contender("plain", f"the same {count} maps by autograd alone", plain)
    for name in ATTENTION if len({one.grid for one in case.resident.attentions}) == 1 else ():
        yield Contender(
            name,
            f"{name} of {count} classes, after a pass that is held",
            partial(_explained, case, name),
            lambda: Evidence(case.resident, case.given, (case.layer,)),
        )


def _explained(case: Case, method: str, evidence: Any) -> Any:
    return explain(case.image, evidence, Options(method=method, targets=case.indices), milliseconds={})


def _awaken(module: nn.Module) -> None:
    """Untrained heads of torchvision are nothing, and so would be every gradient."""
    generator = torch.Generator().manual_seed(SEED)
    for parameter in module.parameters():
        if not parameter.any():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)


def _plain_difference(case: Case) -> float | None:
    """Largest difference of a gradient from plain autograd's, as a share of its largest number."""
    if case.layer.layout != "tokens":
        return None
    found = []
    for context in (sparse, nullcontext):
        with patch.object(engine, "sparse", context):
            evidence = Evidence(case.resident, case.given, (case.layer,))
            found.append([one.values for one in evidence.gradients(case.targets)[0]])
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*found, strict=True))


def choice(kind: str) -> dict[str, Any]:
    """How well maps of each layer and method point at the one thing in pictures that the net names rightly."""
    resident = _resident(kind)
    layers = find(resident.layers[0], LAYERS[kind], resident.adapter.module)
    able = ATTENTION if kind != "swin" else ()
    sums: dict[tuple[str, str], list[list[float]]] = {}
    count = 0
    for pixels, index, mask in _pictures(kind):
        given = resident.adapter.prepare(pixels, resident.adapter.preprocessings[0])
        evidence = Evidence(resident, given, layers)
        if int(evidence.outputs.logits.argmax()) != index:
            continue
        count += 1
        for method in CAMS:
            made = explain(Image.open(pixels), evidence, Options(method=method, targets=(index,)), milliseconds={})
            for one in made.by_layer(0):
                score = measured(one.at_input if one.state == "ok" else None, (mask, None))[0]
                sums.setdefault((method, one.layers[0]), []).append(score)
        last = Evidence(resident, given, find(resident.layers[0], (LAYERS[kind][-1],), resident.adapter.module))
        for method in able:
            (one,) = explain(
                Image.open(pixels), last, Options(method=method, targets=(index,)), milliseconds={}
            ).heatmaps
            sums.setdefault((method, ""), []).append(measured(one.at_input, (mask, None))[0])
    rows = [
        {
            "method": method,
            "layer": layer,
            "hit": float(np.mean([s[0] for s in scores])),
            "energy": float(np.mean([s[1] for s in scores])),
        }
        for (method, layer), scores in sums.items()
    ]
    return {"kind": kind, "pictures": count, "default": resident.default_layers[0], "rows": rows}


def _resident(kind: str) -> Resident:
    if kind.startswith("demo"):
        from models.catalog import spec
        from models.load import load as load_model

        return Resident(load_model(replace(spec(kind), target_layers=())), torch.device("cpu"))
    side = tiny_transformers.SIDE
    spec_ = ModelSpec(kind, "benchmarks", "s", "benchmarks", kind, "classify", "none")
    net = tiny_transformers.train(kind, STEPS)
    half = (0.5, 0.5, 0.5)
    adapter = Classifier(spec_, net, tiny_transformers.NAMES, Preprocessing((side, side), side, half, half), kind)
    return Resident(adapter, torch.device("cpu"))


def _pictures(kind: str) -> Iterator[tuple[Any, int, Any]]:
    for number in range(SCENES):
        if kind.startswith("demo"):
            from models.demo import scenes

            scene = scenes.draw(scenes.sample(number, task="classify", held_out=True))
            (thing,) = scene.objects
            left, top, right, bottom = (round(side) for side in thing.box)
            mask = np.zeros(scene.pixels.shape[:2], bool)
            mask[top:bottom, left:right] = True
            yield scene.pixels, thing.index, mask
        else:
            drawn = tiny_transformers.draw(10**6 + number)
            yield drawn.pixels, drawn.index, drawn.mask


def markdown(result: dict[str, Any]) -> str:
    """The whole report."""
    parts = [
        "# Transformers",
        "Written by `python -m benchmarks transformers`; do not edit by hand.",
        where(result["machine"]),
        "## Five classes",
        "All contenders run in one process on the same picture, weights, layer and classes, once a round each, in "
        f"another order every round; medians of {result['rounds']} rounds. The peers are told how tokens become a map "
        "(their reshape_transform); Sightglass sees it. Behind a ViT's last attention only the rows that the answer is "
        "read from have a gradient, and the walk back leaves the others out.",
    ]
    for table in result["speed"]:
        ratio = next(x["ratio"] for x in table["lines"] if x["id"] == "maps")
        said = f"Layer `{table['layer']}`, {table['weights']} weights."
        if table["difference"] is not None:
            said += f" Largest difference of a map from pytorch-grad-cam's: {table['difference']:.0e}."
        if table["plain"] is not None:
            verdict = "pass" if ratio <= LIMIT else "**miss**"
            said += f" Of a gradient from plain autograd's, of its largest number: {table['plain']:.0e}."
            said += f" Goal: at most {LIMIT}x a bare forward: {verdict}."
        parts += [f"### {table['model']}", said, times(table["lines"])]
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
        parts += [f"### {SAID[table['kind']]}", f"{table['pictures']} pictures.", grid(("layer", *CAMS), body)]
        if whole := [(m, _cell(found[m, ""])) for m in ATTENTION if (m, "") in found]:
            parts.append(grid(("of attention", "hit, share"), whole))
    return "\n\n".join(parts) + "\n"


def _cell(one: dict[str, Any] | None) -> str:
    return "" if one is None else f"{one['hit']:.2f}, {one['energy']:.2f}"
