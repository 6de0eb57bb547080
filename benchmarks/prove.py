"""Measure the cost of a proof beside bare forward passes.

Its curves, the wait for each part, and others' proofs.
"""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.case import picture
from benchmarks.report import FOLDER, RESULTS, Row, goal, goals, grid, machine, page, with_section
from benchmarks.timing import in_rounds
from benchmarks.viewer.waiting import first_curves
from sightglass.common.errors import Cancelled
from sightglass.components.session.jobs.background import lower_priority
from sightglass.explain import Explainer
from sightglass.explain.proof import controls
from sightglass.explain.proof.controls import ranking
from sightglass.explain.proof.curves import BATCH_CPU, BATCH_GPU, STEPS, Order, Perturber
from sightglass.explain.proof.filling import blur
from sightglass.explain.proof.scores import scorer
from sightglass.explain.whatif.changes import changes
from sightglass.explain.whatif.edits import Edit, EditMark, edited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from sightglass.explain.explanation import Explanation

OUT = FOLDER / "PROVE.md"
CLASSIFIER, DETECTOR = "efficientnet-lite0", "yolo11n"
MAPS = 5
ROUNDS, PROOFS = 7, 2
QUICK = 8
"""Quick maps, or strokes, in a round."""
GOAL = 1.15
OTHERS, STROKE = 1.2, 150.0
"""Most that a proof may slow another session's quick map; milliseconds of a stroke on What if besides one pass."""
FIRST = 0.5
WAITS = {CLASSIFIER: (FIRST, 2.5), DETECTOR: (None, 6.0)}
"""Goals in seconds: until the first curve, and until the whole proof."""
WORDS = ("first curve", "whole proof")
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
        "curves": timed_curves(explained, rounds, steps),
        "proofs": proofs,
        "clicked": first_curves(rounds),
        "others": _others(path, rounds, steps),
        "stroke": _stroke(path, rounds),
    }


def timed_curves(explained: Explanation, rounds: int, steps: int) -> Row:
    """Time the curves of a map and four random ones beside bare passes of the same pictures, on the model's device."""
    evidence, heatmap = explained.evidence, explained.heatmaps[0]
    shape, score = heatmap.content.shape, scorer(evidence, heatmap.target, explained.options)
    maps = [heatmap.content, *(controls.random_map(shape, (7, 7), seed) for seed in range(MAPS - 1))]
    orders = [Order("map", number, places) for number, one in enumerate(maps) if (places := ranking(one)) is not None]
    device, most = evidence.resident.device, evidence.resident.adapter.batch
    most = most or (BATCH_CPU if device.type == "cpu" else BATCH_GPU)
    whole = Perturber(evidence, score).picture
    batches = [evidence.resident.move_input(batch) for batch in _inputs(whole, orders, steps, most)]
    twin, lock = evidence.resident.aside()

    def passes() -> None:
        # With the lock a GPU computes in whole float32, as for the curves.
        with torch.no_grad(), lock:
            for batch in batches:
                twin.run(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    # A new one each time: what is made once for a proof belongs to it.
    calls = {"bare": passes, "curves": lambda: Perturber(evidence, score).curves(orders, "blur", steps)}
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


def _inputs(whole: Tensor, orders: list[Order], steps: int, most: int) -> list[Tensor]:
    """Return what `Perturber.curves` puts to the model, in its batches of `most`."""
    fill = blur(whole)
    made = [whole, fill]
    for order in orders:
        places = torch.from_numpy(order.places).to(whole.device)
        for keeps in (False, True):
            for step in range(1, steps):
                shown = places < step / steps if keeps else places >= step / steps
                made.append(torch.where(shown, whole, fill))
    # The two ends go first and by themselves.
    rest = [torch.cat(made[at : at + most]) for at in range(2, len(made), most)]
    return [torch.cat(made[:2]), *rest]


def _waited(name: str, path: Path, rounds: int, steps: int) -> Row:
    explainer = Explainer(name, device="cpu")
    per = "detection" if explainer.model.task == "detect" else "class"
    explained = explainer(path, per=per, top_k=1)
    first: list[float] = []
    whole: list[float] = []
    used: list[float] = []
    for _ in range(rounds):
        seen: list[float] = []
        start, before = time.perf_counter(), time.process_time()
        proof = explained.prove(steps=steps, partial=lambda _, seen=seen: seen.append(time.perf_counter()))
        whole.append(time.perf_counter() - start)
        used.append(time.process_time() - before)
        first.append(seen[0] - start)
    return {
        "model": name,
        "target": proof.label,
        "curves": len(proof.curves),
        "pictures": proof.pictures,
        "first": float(np.median(first)),
        "whole": float(np.median(whole)),
        "processor": float(np.median(used)),
    }


@contextmanager
def _proving(explained: Explanation, steps: int) -> Iterator[None]:
    """Prove again and again in a thread of low priority, as a page does, for as long as the context lasts."""
    cancel, begun = threading.Event(), threading.Event()

    def work() -> None:
        lower_priority()
        with suppress(Cancelled):
            while not cancel.is_set():
                explained.prove(steps=steps, cancel=cancel, partial=lambda _: begun.set())

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        cancel.set()
        thread.join()


def _others(path: Path, rounds: int, steps: int) -> Row:
    """Return how long quick maps of other pictures take with the same model, alone and while a proof runs."""
    explainer = Explainer(CLASSIFIER, device="cpu")
    proved = explainer(path, top_k=1)
    pictures = (np.roll(proved.image.pixels, number, 1) for number in itertools.count(1))

    def quick() -> list[float]:
        return [_timed(lambda: explainer(next(pictures)))[0] for _ in range(QUICK)]

    def beside() -> list[float]:
        with _proving(proved, steps):
            return quick()

    found = in_rounds({"alone": quick, "beside": beside}, rounds, 1)
    alone, slowed = ([one for some in found[name] for one in some] for name in ("alone", "beside"))
    return {"alone": float(np.median(alone)), "beside": float(np.median(slowed)), "samples": len(alone)}


def _stroke(path: Path, rounds: int) -> Row:
    """Return how long a stroke of What if takes, from the edit to answer and map, and one bare pass."""
    explainer = Explainer(CLASSIFIER, device="cpu")
    before = explainer(path, top_k=1)
    twin, tensor = before.evidence.resident.fastest_adapter(()), before.evidence.tensor
    places = itertools.cycle(np.linspace(0.1, 0.8, 29).tolist())

    def stroke() -> None:
        at = next(places)
        after = explainer(edited(before.image, Edit((EditMark("brush", ((at, 0.4), (at + 0.1, 0.6))),))).image, top_k=1)
        changes(before, after)

    def bare() -> None:
        with torch.no_grad():
            twin.run(tensor)

    calls = {
        name: (lambda call=call: [_timed(call)[0] for _ in range(QUICK)])
        for name, call in (("stroke", stroke), ("bare", bare))
    }
    found = in_rounds(calls, rounds, 1)
    return {name: float(np.median(some)) for name, some in found.items()} | {"samples": rounds * QUICK}


def _goals(result: Row) -> list[Row]:
    others, stroke, clicked = result["others"], result["stroke"], float(np.median(result["clicked"]))
    waits = [
        goal(f"{words} of {one['model']}", one[key], limit, "s")
        for one in result["proofs"]
        for key, words, limit in zip(("first", "whole"), WORDS, WAITS[one["model"]], strict=True)
        if limit is not None
    ]
    return [
        goal("curves to the bare forward, processor time", result["curves"]["processor"], GOAL, "x"),
        *waits,
        goal(f"first curve of {CLASSIFIER} from the click, in Chromium", clicked, FIRST, "s"),
        goal("quick map while a proof runs, to without", others["beside"] / others["alone"], OTHERS, "x"),
        goal(f"stroke of What if, to one pass + {STROKE:.0f} ms", stroke["stroke"], stroke["bare"] + STROKE),
    ]


def publish(result: Row) -> None:
    """Write the goals into RESULTS.md."""
    text = (
        "# What a proof costs\n\nWritten by `python -m benchmarks prove`; do not edit by hand. All of it, with the "
        f"machine, is in [PROVE.md](PROVE.md).\n\n{goals([{'goals': _goals(result)}])}\n"
    )
    RESULTS.write_text(with_section(RESULTS, "prove", text), encoding="utf-8")


def markdown(result: Row) -> str:
    """Return PROVE.md."""
    curves, others, stroke, clicked = (result[key] for key in ("curves", "others", "stroke", "clicked"))
    met = "met" if curves["processor"] <= GOAL else "not met"
    return page(
        "What a proof costs",
        "prove",
        result["machine"],
        f"## Curves beside bare passes\n\n{result['steps']} steps x {MAPS} maps x 2 directions of {CLASSIFIER}, "
        f"{curves['pictures']} pictures in batches of {BATCH_CPU}, blurred where they are hidden; "
        f"{result['rounds']} rounds, one after the other in a new order each.",
        _curves(curves["lines"]),
        f"The curves take {curves['wall']:.2f} times the bare forward by the clock and {curves['processor']:.2f} times "
        "its processor time, each the median over rounds. By the latter, which other programs on the machine hardly "
        f"change, the goal of {GOAL} is {met}.",
        f"## Until it is on the screen\n\n`Explanation.prove()` with its two fillings, {result['steps']} steps, the "
        f"model and the map already there; the median of {min(result['rounds'], PROOFS)} proofs by the clock, which is "
        "longer the more else the machine does (its load is stated above): two idle cores take about "
        "half the processor time.",
        _proofs(result["proofs"]),
        "From the click on *Can I trust this?* to the first curve on the screen, of a new photograph with "
        f"{CLASSIFIER} in Chromium on the same cores: {np.median(clicked):.2f} s, the median of {len(clicked)}; the "
        f"slowest {max(clicked):.2f} s (goal: {FIRST} s).",
        f"## While others wait\n\nQuick maps of other pictures with {CLASSIFIER} in the same process, alone and while "
        f"proofs run in a thread of low priority as on the pages, in turns; the median of {others['samples']} each: "
        f"{others['alone']:.1f} ms and {others['beside']:.1f} ms, {others['beside'] / others['alone']:.2f} times as "
        f"long (goal: at most {OTHERS}). Low priority, a lock of its own and batches of {BATCH_CPU} instead of 8 "
        "brought it here; to wait for a pass of others before each of its own changed nothing.",
        f"## A stroke on What if\n\nA stroke of the brush on the photograph, blurred, until the changes and the "
        f"map are there, without the page: {stroke['stroke']:.1f} ms, the median of {stroke['samples']}; a bare pass "
        f"takes {stroke['bare']:.1f} ms (goal: {STROKE:.0f} ms more than that).",
    )


def _curves(lines: Sequence[Row]) -> str:
    head = ("", "median", "10th to 90th percentile", "processor time")
    return grid(
        head,
        [
            (
                one["name"],
                f"{one['ms']:,.0f} ms",
                f"{one['p10']:,.0f} to {one['p90']:,.0f} ms",
                f"{one['processor']:,.0f} ms",
            )
            for one in lines
        ],
    )


def _proofs(proofs: Sequence[Row]) -> str:
    head = ("model", "what is proved", "curves", "pictures", "first curve", "goal", "whole proof", "goal ")
    rows = [
        (
            *(str(one[key]) for key in ("model", "target", "curves", "pictures")),
            *(f"{one['first']:.2f} s", _goal(one, 0), f"{one['whole']:.1f} s", _goal(one, 1)),
            f"{one['processor']:.1f} s",
        )
        for one in proofs
    ]
    return grid((*head, "its processor time"), rows)


def _goal(one: Row, place: int) -> str:
    goal = WAITS.get(one["model"], (None, None))[place]
    if goal is None:
        return "–"
    return f"{goal:g} s, {'met' if one[('first', 'whole')[place]] <= goal else 'not met'}"
