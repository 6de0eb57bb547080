"""Time maps of classifiers beside other libraries, and compare the maps.

Sightglass is driven as `explain.explanation` drives it; there are no caches unless a line says so.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.cases import FAST, ClassifierCase, maps_of, picture
from benchmarks.peers import classifier_peers, forward, score_cam
from benchmarks.report import Row, goal, goals, machine, page, times
from benchmarks.timing import Contender, compare
from sightglass.explain.evidence.determinism import exact
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.explain.evidence.loaded_model import ModelCache
from sightglass.explain.evidence.loaded_model import device as find_device
from sightglass.explain.explainer import EVIDENCE, Explainer
from sightglass.explain.explanation import Explanation, explain
from sightglass.explain.methods import METHODS
from sightglass.explain.options import Options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from sightglass.explain.methods.method import Method

MODELS = ("resnet18", "resnet50", "efficientnet_b0", "efficientnet-lite0")
ROUNDS = 21
AGAIN = ("sharp", "tested", "drise")
"""Our methods that run the model many times for a map."""
ROUNDS_AGAIN = 3
MOST_CHANNELS = 1280
"""ScoreCAM runs the model for each channel of its layer: with more, it takes minutes a map."""
IN_MEMORY = {"resnet18": 1.1, "resnet50": 1.1}
"""Goals of a module in memory, to its bare forward; 1.2 for others."""
GRADCAM = METHODS["gradcam"]


def run(options: argparse.Namespace) -> Row:
    device, path = find_device(options.device), options.picture or picture()
    rounds, models = options.rounds or ROUNDS, options.models or MODELS
    at = machine(torch.get_num_threads(), str(device))
    tables = [table(ClassifierCase.build(model, path, device, options.classes), rounds) for model in models]
    complete = not options.models and rounds >= ROUNDS and options.picture is None
    return {"machine": at, "rounds": rounds, "speed": tables, "complete": complete}


def sightglass(case: ClassifierCase) -> Iterator[Contender]:
    count, (height, width) = len(case.targets), case.image.pixels.shape[:2]
    explainer, chosen = explainer_of(case)

    def explanation() -> Explanation:
        options = Options(method=GRADCAM.id, targets=case.indices)
        return explain(case.image, case.evidence(), options, milliseconds={})

    yield Contender("maps", f"Sightglass, {count} maps at input size", lambda _: case.maps([GRADCAM])[0])
    yield Contender("methods", f"Sightglass, {len(FAST)} methods x {count} classes", lambda _: case.maps(FAST))
    yield callers_module(case)
    yield Contender("explanation", "Sightglass, predictions and heatmaps on the host", lambda _: explanation())
    yield Contender("method", "same evidence: another method", lambda e: e.with_method("layercam"), explanation)
    yield Contender("class", "same evidence: a new class", lambda e: e.with_targets(case.other.index), explanation)
    yield Contender(
        "grow",
        f"same heatmap: enlarged to the picture's own {width}x{height}",
        lambda heatmap: heatmap.values,
        lambda: replace(explanation().heatmaps[0]),
    )
    yield Contender(
        "file", "Explainer(...)(path), from the JPEG file", lambda _: explainer(case.path, **chosen), EVIDENCE.clear
    )


def callers_module(case: ClassifierCase) -> Contender:
    """Return the maps of the library's own module, given in memory: it is guarded, and not folded."""
    prepared = case.loaded.adapter.preprocessing
    loaded = Explainer(case.module(), preprocess=prepared, labels=case.loaded.adapter.labels).loaded
    layers = layers_at(loaded, (case.layer.path,))

    def maps() -> Tensor:
        with loaded.lock:
            return maps_of(Evidence(loaded.snapshot(), case.model_input, layers), case.targets, [GRADCAM])[0]

    return Contender("caller", f"Sightglass, {len(case.targets)} maps of a module in memory", lambda _: maps())


def again(case: ClassifierCase) -> Iterator[Contender]:
    """Yield a bare forward, and methods that run the model many times."""
    module = case.module()
    yield Contender("bare", "bare forward, eager, no_grad", lambda _: forward(module, case.tensor))
    for name in AGAIN:
        yield one_map(case, METHODS[name])
    if case.layer.shape[0] <= MOST_CHANNELS and importlib.util.find_spec("pytorch_grad_cam"):
        yield score_cam(case, case.module())


def one_map(case: ClassifierCase, method: Method) -> Contender:
    return Contender(method.id, f"Sightglass, {method.name}", lambda _: method.run(case.evidence(), case.targets[:1]))


def explainer_of(case: ClassifierCase) -> tuple[Explainer, dict[str, Any]]:
    """Return an explainer of the case's model, with its options."""
    only: Any = ModelCache()
    only.get, only.models = lambda *_: case.loaded, lambda: [case.loaded]
    explainer = Explainer(case.loaded.adapter.spec.id, device=str(case.device), model_cache=only)
    return explainer, {"method": GRADCAM.id, "targets": case.indices, "layers": (case.layer.path,)}


def table(case: ClassifierCase, rounds: int) -> Row:
    """Measure a model: milliseconds, spread, ratio, and the maps' difference.

    The difference is the largest absolute one to pytorch-grad-cam's maps, None without that library. `empty` counts
    our empty maps: untrained weights can give them, and they agree with anything.
    """
    lines = [*classifier_peers(case), *sightglass(case)]
    rows = compare(lines, rounds, case.device)
    rows_again = compare([*again(case)], min(rounds, ROUNDS_AGAIN), case.device)
    ours, difference = case.maps([GRADCAM])[0].cpu().numpy(), None
    for peer in (line for line in lines if line.id == "grad_cam"):
        # Both in full float32: a peer's pass on a GPU rounds to 10 bits by default.
        with exact(case.device):
            difference = float(np.abs(ours - np.stack(peer.call(None))).max())
    return {
        "model": case.loaded.adapter.spec.id,
        "weights": case.weights,
        "layer": case.layer.path,
        "input": case.model_input.geometry.input,
        "channels_last": case.loaded.memory_format == torch.channels_last,
        "difference": difference,
        "empty": sum(not values.any() for values in ours),
        "lines": rows,
        "again": rows_again,
        "goals": goals_of(case.loaded.adapter.spec.id, rows, rows_again, difference),
    }


def goals_of(model: str, rows: Sequence[Row], rows_again: Sequence[Row], difference: float | None) -> list[Row]:
    """Return a model's goals, and whether they were met."""
    lines, repeated = ({line["id"]: line for line in of} for of in (rows, rows_again))
    in_memory = IN_MEMORY.get(model, 1.2)
    limit = max(0.05 * lines["bare"]["ms"], 5.0)
    checked = [
        goal(f"{model}: class maps, to a bare forward", lines["maps"]["ratio"], 1.05, "x"),
        goal(f"{model}: class maps of a module in memory, to a bare forward", lines["caller"]["ratio"], in_memory, "x"),
        goal(f"{model}: all methods x classes, to a bare forward", lines["methods"]["ratio"], 2.0, "x"),
        goal(f"{model}: another method on the same evidence", lines["method"]["ms"], limit),
        goal(f"{model}: a new class on the same evidence", lines["class"]["ms"], limit),
        goal(f"{model}: a sharp map, to a bare forward", repeated["sharp"]["ratio"], 12, "x"),
        goal(f"{model}: a tested map, to a bare forward", repeated["tested"]["ratio"], 45, "x"),
    ]
    if "torch_cam" in lines:
        text = f"{model}: class maps, to torch-cam's raw ones"
        checked.append(goal(text, lines["maps"]["ms"], lines["torch_cam"]["ms"]))
    if difference is not None:
        checked.append(goal(f"{model}: maps equal pytorch-grad-cam's", difference, 1e-4, ""))
    return checked


def markdown(result: Row) -> str:
    how = (
        "All contenders run in one process on the same picture, weights, layer and classes, once a round each, "
        f"in another order every round; {result['rounds']} rounds are counted and the warm-up is not. Every "
        "contender has a model of its own. The ratio is to the median bare eager forward pass of the model as its "
        "library makes it."
    )
    parts = [
        "## Goals",
        goals(result["speed"]),
        "## Speed",
        how,
        *(part for measured in result["speed"] for part in _describe(measured)),
    ]
    return page("Classifiers: speed", "speed", result["machine"], *parts)


def _describe(measured: Row) -> list[str]:
    height, width = measured["input"]
    layout = "channels_last" if measured["channels_last"] else "contiguous"
    weights = {"real": "Trained weights", "random": "Random weights (trained ones are not on this machine)"}
    about = (
        f"{weights[measured['weights']]}, layer `{measured['layer']}`, input {width}x{height}; Sightglass runs it "
        f"{layout}."
    )
    if measured["difference"] is not None:
        about += f" Largest difference between its maps and pytorch-grad-cam's: {measured['difference']:.1e}."
    if measured["empty"]:
        about += f" {measured['empty']} of its maps are empty: no evidence for that class at this layer."
    repeated = f"One map of the most likely class by methods that run the model again, {ROUNDS_AGAIN} rounds:"
    return [f"### {measured['model']}", about, times(measured["lines"], 2), repeated, times(measured["again"], 1)]
