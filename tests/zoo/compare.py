"""Compare explanations with plain autograd on the untouched module."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from sightglass import Explainer, Problem
from sightglass.explain.evidence import cache
from sightglass.explain.evidence.loaded_model import MODEL_CACHE
from sightglass.explain.maps.heatmap import Heatmap, rescale
from sightglass.models.adapter import AreaTarget, PlaceTarget
from tests.zoo.sources import Case, NotBuilt, answer, prepare

TOLERANCE = 1e-4
"""Largest difference of a map, as a share of its largest value, and of an input."""
CELLS = 1.25
"""How far from its mark a cell may lie: untrained kernels move what they see by up to one."""
ROUNDING = 1e-4
"""Largest change by rounding, as a share of a layer's largest value: some untrained layers hold the same for all."""
MARKS = ((0.2, 0.4), (0.2, 0.8), (0.6, 0.2), (0.8, 0.6), (0.4, 0.8))
"""Where marks are planted: shares of the content's rows and columns."""


class Outcome(NamedTuple):
    kind: Literal["equal", "said", "wrong", "not built"]
    reason: str = ""


def judge(case: Case, picture: Path) -> dict[str, Outcome]:
    """Return a model's outcomes from memory and, where it can be saved, from a file or folder."""
    try:
        model, function = case.build()
    except NotBuilt as problem:
        return {"memory": Outcome("not built", str(problem))}
    with tempfile.TemporaryDirectory() as folder:
        with suppress(Exception), Image.open(picture) as opened:
            if prepare(function, opened).shape[-1] > 700:
                picture = Path(folder, "small.png")
                opened.resize((270, 360)).save(picture)
        sources = {"memory": {"model": model, "preprocess": function}}
        if case.save is not None:
            sources["file"] = case.save(model, function, Path(folder))
        outcomes = {}
        for source, arguments in sources.items():
            outcomes[source] = compare(model, function, {**arguments, "task": case.task}, picture)
            cache.clear_all()
            MODEL_CACHE.free(None)
    return outcomes


def compare(model: Any, function: Any, arguments: dict[str, Any], picture: Path) -> Outcome:
    """Compare map, place and input of what an Explainer of `arguments` explains with the model itself."""
    # A YOLO holds its network.
    reference = copy.deepcopy(model.model if hasattr(model, "predictor") else model).eval().requires_grad_(False)
    for part in reference.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.register_forward_hook(order_gradient)
    try:
        explainer = Explainer(**arguments)
        options: dict[str, Any] = {"top_k": 1, "confidence": 1e-6}
        result = explainer(picture, **options)
        if result.task.id in ("detect", "pose"):
            options["per"] = "detection"
            result = explainer(picture, **options)
        if result.heatmaps[0].method == "sharp":
            # The default of few cells, which weighs this one.
            result = explainer(picture, **options, method="gradcam")
        heatmap, tensor, faults = result.heatmaps[0], result.evidence.tensor, []
        said = " ".join(result.notes)
        if heatmap.method not in ("gradcam", "hirescam") or "differs from pass to pass" in said:
            return Outcome("said", said)
        own = tensor if function is None else prepare(function, Image.open(picture))
        if own.shape != tensor.shape or not torch.allclose(own, tensor, rtol=0, atol=TOLERANCE):
            faults.append(f"input {tuple(tensor.shape)} differs from the library's {tuple(own.shape)}")
        for path, raw in zip(heatmap.layers, heatmap.raw, strict=True):
            found = map_faults(reference, tensor, replace(heatmap, layers=(path,), raw=(raw,)))
            faults += [fault for fault in found if not fault.startswith("marks") or f"Where {path} lies" not in said]
    except Problem as problem:
        return Outcome("wrong" if "\n" in str(problem) else "said", str(problem))
    except Exception as error:
        return Outcome("wrong", f"{type(error).__name__}: {error}")
    return Outcome("wrong", "; ".join(faults)) if faults else Outcome("equal")


def order_gradient(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
    # PyTorch misreads the gradient of a batch norm of one picture on a CPU where it is in the order of tokens.
    if output.requires_grad:
        output.register_hook(Tensor.contiguous)


def map_faults(module: nn.Module, tensor: Tensor, heatmap: Heatmap) -> Iterator[str]:
    """Say how the map of one layer differs from plain autograd's, or where it lies elsewhere."""
    (path,), (raw,) = heatmap.layers, heatmap.raw
    names, runs = dict(module.named_modules()), []

    def record(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        values = output if isinstance(output, Tensor) else output[0]
        runs.append(values if values.requires_grad else values.detach().requires_grad_())
        return runs[-1].clone() if output is values else (runs[-1].clone(), *output[1:])

    # A YOLO's layers are counted in its list of steps.
    handle = (names.get(path) or names[f"model.{path}"]).register_forward_hook(record)
    try:
        with torch.enable_grad():
            score = score_of(*answer(module, tensor), heatmap.target)
        (slope,) = torch.autograd.grad(score, runs[-1:], allow_unused=True, materialize_grads=True)
        if not raw.any():
            yield from [f"the map at {path} is empty"] if slope.any() else []
            return
        plain = runs[-1].detach()
        difference, axis, tokens = closest(plain, slope, heatmap)
        if difference > TOLERANCE:
            yield f"{heatmap.method} at {path} differs by {difference:.2g}"
            return
        left, top, right, bottom = heatmap.geometry.content
        cell, misses = np.array([tensor.shape[-2] / raw.shape[0], tensor.shape[-1] / raw.shape[1]]), []
        for share in MARKS:
            at = np.floor(np.add((top, left), np.multiply(share, (bottom - top, right - left))) / cell)
            (y0, x0), (y1, x1) = np.rint(at * cell).astype(int), np.rint((at + 1) * cell).astype(int)
            marked = tensor.clone()
            ink = tensor.amax() + tensor.amin() - tensor[..., y0, x0]
            marked[..., y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = ink[..., None, None]
            with torch.no_grad():
                answer(module, marked)
            change = (runs[-1] - plain).abs().movedim(axis, -1).flatten(0, -2).sum(-1)
            if change.max() <= ROUNDING * plain.abs().max():
                continue
            most = change.argmax()
            # The map's cells of the value that the reference has where the layer changed most.
            apart = np.abs(raw - float(tokens[most]))
            alone = (apart <= apart.min() + TOLERANCE * np.abs(raw).max()).astype(np.float32)
            drawn = np.abs(rescale([replace(heatmap, raw=(alone,))], "own")[0].at_input)
            # Many cells of one value are drawn higher than one that stands alone.
            away = np.abs((np.argwhere(drawn >= 0.7 * drawn.max()) + 0.5) / cell - at - 0.5).max(1)
            misses.append(float(away.min()))
        if misses and np.median(misses) > CELLS:
            yield f"marks lie {np.round(sorted(misses), 1).tolist()} cells off at {path} {raw.shape}"
    finally:
        handle.remove()


def score_of(logits: Tensor, scores: Tensor, target: Any) -> Tensor:
    """Return what is differentiated of a model's answer."""
    if isinstance(target, PlaceTarget):
        numbers = logits.squeeze()
        against = numbers[torch.from_numpy(target.reference)].mean() if target.than else 0
        return numbers[torch.from_numpy(target.pixels)].mean() - against
    if isinstance(target, AreaTarget):
        # A YOLO's predictor enlarges them.
        grown = interpolate(logits[None], target.pixels.shape, mode="bilinear")[0]
        return grown[target.index][torch.from_numpy(target.pixels)].sum()
    if target.index is None:
        return torch.linalg.vector_norm(logits)
    if not target.anchors:
        return logits[target.index]
    # Of scores that are rounded to the same number any may be the best one.
    best = (scores.sigmoid() == scores.max().sigmoid()).flatten()
    number = target.anchors[0] * logits.shape[1] + target.index
    return logits.flatten()[number if best.sum() > 1 and best[number] else scores.argmax()]


def cells_among(count: int, more: int) -> Iterator[Tensor]:
    """Yield which of so many tokens may be cells, bool (count,), where `more` of them have no place.

    These stand first, in the middle or last, or one first and the others last.
    """
    for start in (0, (count - more) // 2, count - more):
        cells = torch.ones(count, dtype=torch.bool)
        cells[start : start + more] = False
        yield cells
    if more > 1:
        cells = torch.zeros(count, dtype=torch.bool)
        cells[1 : 1 + count - more] = True
        yield cells


def closest(values: Tensor, slope: Tensor, heatmap: Heatmap) -> tuple[float, int, Tensor]:
    """Return the map's least difference from plain autograd's, the axis of channels, and the latter, by token."""
    raw, found = torch.from_numpy(np.sort(heatmap.raw[0].ravel())).double(), [(float("inf"), 1, values)]
    for axis in (1, values.ndim - 1):
        tokens, slopes = (each.movedim(axis, -1).flatten(0, -2).double() for each in (values, slope))  # (places, C)
        more = len(tokens) - len(raw)
        for cells in cells_among(len(tokens), more) if more >= 0 else ():
            own = (tokens * (slopes if heatmap.method == "hirescam" else slopes[cells].mean(0))).sum(-1)
            # Any positive multiple is the same map: a score may be a logarithm of what the module returns.
            own *= raw.abs().max() / own[cells].abs().max().clamp_min(1e-30)
            found.append((float((own[cells].sort().values - raw).abs().max() / raw.abs().max()), axis, own))
    return min(found, key=lambda each: each[0])
