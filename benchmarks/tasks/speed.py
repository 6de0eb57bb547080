"""Measure what maps of regions, of queries and of Integrated Gradients cost.

A picture of its own in each round: nothing that an earlier one left behind is of use to the next.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.report import FOLDER, Row, attempt, goal, goals, machine, page, section, times
from benchmarks.timing import CPU, WARM_UP, Contender, in_rounds, row
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import chosen_layers
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.explainer import Explainer
from sightglass.explain.explanation import explain
from sightglass.explain.methods.pixel_gradients import ON_CPU, STEPS, make_baseline
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.models.demo.scenes import draw, sample
from sightglass.models.load import load
from sightglass.models.spec import ModelSpec, WeightsTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.decode import Pixels

OUT = FOLDER / "TASKS.md"
ROUNDS = 11
REGION, QUERIES, CAPTUM = 1.3, 2.5, 1.1
"""Goals: at most so many times the bare forward, or captum's own time."""
DETR, COUNT = "deimv2-atto", 10
"""libreyolo's smallest network of DETR's family, with random weights, and the queries that are explained."""
CLASSIFIER = "efficientnet-lite0"


def tasks(rounds: int) -> Row:
    """Measure all of it."""
    lines = [
        attempt("A region of a segmentation", lambda: _regions(rounds)),
        attempt(f"{COUNT} queries of a DETR", lambda: _queries(rounds)),
        attempt("Integrated Gradients", lambda: _integrated(max(1, rounds // 3))),
    ]
    return {"machine": machine(torch.get_num_threads(), "cpu"), "rounds": rounds, "lines": lines}


def _pictures(pixels: Pixels) -> Callable[[], Pixels]:
    """Return what makes the same picture again, but for one pixel."""
    numbers = count()

    def make() -> Pixels:
        fresh = pixels.copy()
        fresh[0, 0] = divmod(next(numbers), 250)[1]
        return fresh

    return make


def _time(bare: Contender, lines: Sequence[Contender], rounds: int, warm_up: int = WARM_UP) -> list[Row]:
    def spend(line: Contender) -> float:
        argument = line.prepare()
        begun = time.process_time()
        line.call(argument)
        return (time.process_time() - begun) * 1e3

    took = in_rounds({line.id: partial(spend, line) for line in (bare, *lines)}, rounds, warm_up)
    forward = float(np.median(took[bare.id]))
    return [row(line, took[line.id], forward) for line in (bare, *lines)]


def _ratio(rows: Sequence[Row], wanted: str) -> float:
    return float(next(one["ratio"] for one in rows if one["id"] == wanted))


def _bare(net: torch.nn.Module, tensor: torch.Tensor) -> Contender:
    def forward(_: Any) -> None:
        with torch.no_grad():
            net(tensor)

    return Contender("bare", "bare forward, eager, no_grad", forward)


def _regions(rounds: int) -> Row:
    explainer, pixels = Explainer("demo-seg", device="cpu"), draw(sample(1, task="segment", held_out=True)).pixels
    fresh, bare = _pictures(pixels), load(explainer.model)
    whole = explainer(pixels, top_k=3)
    classes = whole.segmentation
    assert classes is not None
    y, x = np.argwhere(classes == whole.predictions[1].index)[0]
    at = (x + 0.5, y + 0.5)

    def ready() -> Explanation:
        # The gradient of another region is known, as after a click.
        return explainer(fresh(), per="region", top_k=1)

    lines = [
        Contender("region", "same pass: another region", lambda made: made.with_options(at=at), ready),
        Contender("pixel", "same pass: a pixel", lambda made: made.with_options(per="pixel", at=at), ready),
        Contender(
            "whole", "Explainer(...)(pixels), one region", lambda one: explainer(one, per="region", at=at), fresh
        ),
    ]
    found = _time(_bare(bare.module, whole.evidence.tensor), lines, rounds)
    shape = "x".join(map(str, whole.evidence.tensor.shape[2:]))
    return {
        "how": f"demo-seg, {whole.heatmaps[0].method} at `{whole.heatmaps[0].layers[0]}`, input {shape}.",
        "rows": found,
        "goals": [goal("another region's map, to a bare forward", _ratio(found, "region"), REGION, "x")],
    }


def _queries(rounds: int) -> Row:
    spec = ModelSpec(DETR, "own", "s", "detr", DETR, "detect", "none", weights=WeightsTable(random=0))
    resident, bare = Resident(load(spec), CPU), load(spec)
    picture = Image(draw(sample(1, task="detect", held_out=True)).pixels)
    layers = chosen_layers(resident, ())
    options = Options.parse({"per": "detection", "top_k": COUNT, "confidence": 0.0})
    given = resident.adapter.prepare(picture.pixels, "trained")

    def see(_: Any) -> Evidence:
        return Evidence(resident, given, layers)

    def make_maps(evidence: Evidence) -> Explanation:
        return explain(picture, evidence, options, milliseconds={})

    whole = make_maps(see(None))
    assert len(whole.heatmaps) == COUNT
    lines = [
        Contender("pass", "Sightglass, the pass alone", see),
        Contender("maps", f"same pass: {COUNT} queries' heatmaps on the host", make_maps, lambda: see(None)),
        Contender("whole", f"Sightglass, the pass and {COUNT} queries' heatmaps", lambda _: make_maps(see(None))),
    ]
    found = _time(_bare(bare.module, given.tensor), lines, rounds)
    shape = "x".join(map(str, given.tensor.shape[2:]))
    paths = ", ".join(f"`{one}`" for one in whole.heatmaps[0].layers)
    return {
        "how": f"{DETR} with random weights, {whole.heatmaps[0].method} at {paths}, input {shape}.",
        "rows": found,
        "goals": [goal(f"pass and maps of {COUNT} queries, to a bare forward", _ratio(found, "whole"), QUERIES, "x")],
    }


def _integrated(rounds: int) -> Row:
    from captum.attr import IntegratedGradients

    explainer, pixels = Explainer(CLASSIFIER, device="cpu"), draw(sample(1, task="classify", held_out=True)).pixels
    fresh, own = _pictures(pixels), load(explainer.model)
    whole = explainer(pixels, top_k=1)
    tensor, grey = whole.evidence.tensor.detach(), make_baseline(whole.evidence)
    index = whole.predictions[0].index

    def attribute(_: Any) -> torch.Tensor:
        given = tensor.clone().requires_grad_()
        found: torch.Tensor = IntegratedGradients(own.module).attribute(
            given, grey, target=index, n_steps=STEPS, internal_batch_size=ON_CPU
        )
        return found

    def ready() -> Explanation:
        return explainer(fresh(), top_k=1)

    mine = whole.with_options(method="integratedgradients", targets=(index,)).heatmaps[0].raw[0]
    apart = float(np.abs(mine - attribute(None)[0].sum(0).detach().numpy()).max() / np.abs(mine).max())
    line = Contender(
        "ours",
        "Sightglass, same pass",
        lambda made: made.with_options(method="integratedgradients", targets=(index,)),
        ready,
    )
    found = _time(Contender("captum", "captum's IntegratedGradients, called directly", attribute), [line], rounds, 1)
    return {
        "how": f"{CLASSIFIER}, {STEPS} steps, {ON_CPU} pictures a pass in both. Ratios are to captum's time; the "
        f"largest difference of the values is {apart:.0e} of the highest.",
        "rows": found,
        "goals": [goal("Integrated Gradients, to captum's own", _ratio(found, "ours"), CAPTUM, "x")],
    }


def markdown(result: Row) -> str:
    """Return the report."""
    lines = result["lines"]
    parts = [part for line in lines for part in section(line, lambda one: [times(one["rows"])])]
    return page(
        "What maps of other tasks cost",
        "tasks",
        result["machine"],
        goals(lines),
        f"All contenders of a table run in one process, once a round each, in another order every round; of "
        f"{result['rounds']} rounds, a third for the last table, medians. Milliseconds are a processor's, which others "
        "at work on the machine change less than a clock's.",
        *parts,
    )
