"""What a proof costs: its curves beside the bare forward passes of the same pictures, and the wait for each part."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.case import picture
from benchmarks.report import FOLDER, Row, grid, machine, page
from benchmarks.timing import in_rounds
from explain import Explainer
from explain.faithfulness import controls
from explain.faithfulness.curves import BATCH_CPU, STEPS, Order, Perturber
from explain.faithfulness.filling import blurred
from explain.faithfulness.ranking import ranking
from explain.faithfulness.scores import scorer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from explain.explanation import Explanation

OUT = FOLDER / "PROVE.md"
CLASSIFIER, DETECTOR = "efficientnet-lite0", "yolo11n"
MAPS = 5
ROUNDS, PROOFS = 7, 2
GOAL = 1.15
WAITS = {CLASSIFIER: (0.5, 2.5), DETECTOR: (None, 6.0)}
"""Goals in seconds: until the first curve, and until the whole proof."""
NAMES = {
    "bare": "bare forward of the same pictures by the quick twin",
    "curves": "curves of 5 maps: composed, run and scored",
}
PACKAGES = ("torch", "timm", "ultralytics", "numpy")


def prove(path: Path | None, rounds: int | None, steps: int = STEPS, models: tuple[str, ...] = ()) -> Row:
    """Measure the curves of five maps beside bare passes, and whole proofs by the clock."""
    path, rounds = path or picture(), rounds or ROUNDS
    at = machine(torch.get_num_threads(), "cpu", PACKAGES)
    explained = Explainer(CLASSIFIER, device="cpu")(path, top_k=1)
    proofs = [_waited(name, path, min(rounds, PROOFS), steps) for name in models or (CLASSIFIER, DETECTOR)]
    return {
        "machine": at,
        "steps": steps,
        "rounds": rounds,
        "curves": _curves(explained, rounds, steps),
        "proofs": proofs,
    }


def _curves(explained: Explanation, rounds: int, steps: int) -> Row:
    evidence, heatmap = explained.evidence, explained.heatmaps[0]
    perturber = Perturber(evidence, scorer(evidence, heatmap.target, explained.options))
    shape = heatmap.content.shape
    maps = [heatmap.content, *(controls.random_map(shape, (7, 7), seed) for seed in range(MAPS - 1))]
    orders = [Order("map", number, places) for number, one in enumerate(maps) if (places := ranking(one)) is not None]
    batches = [evidence.resident.place(batch) for batch in _inputs(perturber.picture, orders, steps)]
    twin = evidence.resident.fastest_adapter(())

    def passes() -> None:
        with torch.no_grad():
            for batch in batches:
                twin.run(batch)

    calls = {"bare": passes, "curves": lambda: perturber.curves(orders, "blur", steps)}
    samples = in_rounds({name: partial(_timed, call) for name, call in calls.items()}, rounds, 1)
    pictures = sum(len(batch) for batch in batches)
    lines = [{"id": name, "name": NAMES[name], **_summary(samples[name])} for name in calls]
    # Of each round, so that what slows the machine for a while slows both.
    by_kind = [
        float(np.median(np.divide([one[kind] for one in samples["curves"]], [one[kind] for one in samples["bare"]])))
        for kind in (0, 1)
    ]
    return {"pictures": pictures, "wall": by_kind[0], "processor": by_kind[1], "lines": lines}


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return the milliseconds of one call by the clock, and those that this process had of the processor."""
    begin, used = time.perf_counter(), time.process_time()
    call()
    return (time.perf_counter() - begin) * 1e3, (time.process_time() - used) * 1e3


def _summary(samples: list[tuple[float, float]]) -> Row:
    wall, processor = zip(*samples, strict=True)
    p10, median, p90 = np.percentile(wall, (10, 50, 90)).tolist()
    return {"ms": median, "p10": p10, "p90": p90, "processor": float(np.median(processor))}


def _inputs(whole: Tensor, orders: list[Order], steps: int) -> list[Tensor]:
    """Return what `Perturber.curves` puts to the model, in its batches."""
    fill = blurred(whole)
    made = [whole, fill]
    for order in orders:
        places = torch.from_numpy(order.places)
        for keeps in (False, True):
            for step in range(1, steps):
                shown = places < step / steps if keeps else places >= step / steps
                made.append(torch.where(shown, whole, fill))
    # The two ends go first and by themselves.
    rest = [torch.cat(made[at : at + BATCH_CPU]) for at in range(2, len(made), BATCH_CPU)]
    return [torch.cat(made[:2]), *rest]


def _waited(name: str, path: Path, rounds: int, steps: int) -> Row:
    explainer = Explainer(name, device="cpu")
    per = "detection" if explainer.model.task == "detect" else "class"
    explained = explainer(path, per=per, top_k=1)
    first: list[float] = []
    whole: list[float] = []
    for _ in range(rounds):
        seen: list[float] = []
        start = time.perf_counter()
        proof = explained.prove(steps=steps, partial=lambda _, seen=seen: seen.append(time.perf_counter()))
        whole.append(time.perf_counter() - start)
        first.append(seen[0] - start)
    return {
        "model": name,
        "target": proof.label,
        "curves": len(proof.curves),
        "first": float(np.median(first)),
        "whole": float(np.median(whole)),
    }


def markdown(result: Row) -> str:
    """Return PROVE.md."""
    curves = result["curves"]
    table = grid(
        ("", "median", "10th to 90th percentile", "processor time"),
        [
            (
                one["name"],
                f"{one['ms']:,.0f} ms",
                f"{one['p10']:,.0f} to {one['p90']:,.0f} ms",
                f"{one['processor']:,.0f} ms",
            )
            for one in curves["lines"]
        ],
    )
    met = "met" if curves["processor"] <= GOAL else "not met"
    waits = grid(
        ("model", "what is proved", "curves", "first curve", "goal", "whole proof", "goal "),
        [
            (
                one["model"],
                one["target"],
                str(one["curves"]),
                f"{one['first']:.2f} s",
                _goal(one, 0),
                f"{one['whole']:.1f} s",
                _goal(one, 1),
            )
            for one in result["proofs"]
        ],
    )
    return page(
        "What a proof costs",
        "prove",
        result["machine"],
        f"## Curves beside bare passes\n\n{result['steps']} steps x {MAPS} maps x 2 directions of {CLASSIFIER}, "
        f"{curves['pictures']} pictures in batches of {BATCH_CPU}, blurred where they are hidden; "
        f"{result['rounds']} rounds, one after the other in a new order each.",
        table,
        f"The curves take {curves['wall']:.2f} times the bare forward by the clock and {curves['processor']:.2f} times "
        "its processor time, each the median over rounds. By the latter, which other programs on the machine hardly "
        f"change, the goal of {GOAL} is {met}.",
        f"## Until it is on the screen\n\n`Explanation.prove()` with its two fillings, {result['steps']} steps, the "
        f"model and the map already there; the median of {min(result['rounds'], PROOFS)} proofs by the clock, which is "
        "longer the more else the machine does (its load is stated above).",
        waits,
    )


def _goal(one: Row, place: int) -> str:
    goal = WAITS.get(one["model"], (None, None))[place]
    if goal is None:
        return "–"
    return f"{goal:g} s, {'met' if one[('first', 'whole')[place]] <= goal else 'not met'}"
