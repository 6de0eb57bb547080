"""`compare`: one picture through several models."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options as cli
from cli.console import Teller
from cli.image import woken
from common.errors import ModelProblem, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explain.comparison import Comparison
    from explain.detections import Side
    from explain.explanation import Explanation


def register(app: typer.Typer) -> None:
    cli.verb(
        app,
        "compare",
        """
        python -m explain compare bus.jpg
        python -m explain compare bus.jpg -m efficientnet-lite0 -m resnet50
        python -m explain compare bus.jpg -m yolo11n -m yolo26n --box 2
        python -m explain compare bus.jpg --class trolleybus --question why --json
        """,
    )(compare)


def compare(
    picture: cli.Picture,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="ID",
            help="Two models or more, each with an option of its own; of one all sizes of its family that are on this "
            "machine \\[efficientnet-lite0].",
            rich_help_panel=cli.MODEL,
            show_default=False,
        ),
    ] = None,
    question: cli.Question = None,
    method: cli.Method = None,
    class_: cli.Classes = None,
    box: cli.Place = None,
    scale: cli.Scale = None,
    score_thr: cli.ScoreThr = None,
    preprocessing: cli.Preprocessing = None,
    device: cli.Device = "auto",
    colormap: cli.Colormap = "inferno",
    alpha: cli.Alpha = None,
    out: cli.Out = None,
    json: cli.Json = False,
) -> int:
    """One picture through a small, a medium and a large model, or any others: what each says, how long it takes here,
    and how far they look at the same place.

    In the folder there are comparison.jpg with the maps side by side, an overlay of each model's map, maps.npz with
    the maps on one grid, and comparison.json.
    """
    from explain.comparison import Comparison
    from explain.evidence.timing import measure
    from explain.export import result_folder
    from explain.picture.image import Image
    from models.defaults import compared

    if box is not None and class_:
        raise Problem("--box is of one object, and --class of all of a class: leave one of them away.")
    if box is not None:
        cli.counted(box)
    tell = Teller(json)
    look = result_folder.Look(colormap, 0.5 if alpha is None else alpha)
    given = cli.given(question=question, method=method, scale=scale, confidence=score_thr, preprocessing=preprocessing)
    ids, names = compared(model or ["efficientnet-lite0"])
    image = Image.open(picture)
    if box is not None:
        given |= {"per": "detection"}
    explanations, timings = [], []
    sides: list[Side] = []
    objects: list[dict[str, Any]] = []
    with tell.at_work(f"Waking {ids[0]}") as bar:
        for i, name in enumerate(ids):
            bar(i / len(ids), name)
            explainer = woken(name, device, bar)
            cli.checked(explainer, given)
            if box is not None and explainer.model.task != "detect":
                raise ModelProblem(f"{name} draws no boxes: leave --box away, or compare detectors.")
            targets = cli.classes(class_, explainer.labels)
            found = explainer(image, targets=targets, maps=box is None, **given)
            if box is not None:
                sides.append(_side(found, box, sides))
                found = sides[-1].explanation
            explanations.append(found)
            timings.append(measure(explanations[-1].evidence))
        comparison = Comparison(tuple(explanations), names, tuple(timings))
        more: dict[str, Any] = {"mixed": comparison.mixed}
        if box is not None:
            objects = [_object(one, sides[0]) for one in sides]
            more |= {"box": box, "objects": objects}
        (folder,) = result_folder.places([image.name], out)
        written = result_folder.write(folder, result_folder.of_comparison(comparison, look, more))
    _report(tell, comparison)
    if objects:
        _report_objects(tell, objects, names, box)
    tell.written(folder, written)
    tell.result(result_folder.comparison(comparison) | more | {"folder": folder, "files": written})
    return 0


def _side(found: Explanation, number: int, sides: Sequence[Side]) -> Side:
    """The first model's box, and in every other model the object that it is."""
    from explain.detections import side

    if not sides and number > len(found.predictions):
        shown = f"{found.model.id} shows {len(found.predictions)} here"
        raise Problem(f"There is no box {number}: {shown}, counted from 1; a lower --score-thr shows more.")
    wanted = sides[0].prediction if sides else found.predictions[number - 1]
    assert wanted is not None  # the first model's own box
    return side(found, wanted)


def _object(one: Side, first: Side) -> dict[str, Any]:
    """What one model makes of the first one's box, ready for JSON; `missing` says why it does not show it."""
    from explain.export.result_folder import read
    from models.adapters.detector import intersection_over_union

    found, wanted = one.prediction, first.prediction
    numbers = one.explanation.box_numbers(0) if one.explanation.heatmaps else None
    missing = None if found else "It has no candidate there at all."
    return {
        "model": one.explanation.model.id,
        "label": found.label if found else None,
        "score": found.score if found else None,
        "box": found.box if found else None,
        "iou": intersection_over_union(found.box, wanted.box)
        if found and wanted and found.box and wanted.box
        else None,
        "inside": numbers.inside if numbers else None,
        "missing": read(one.missing.words) if one.missing else missing,
    }


def _report_objects(tell: Teller, said: Sequence[dict[str, Any]], names: Sequence[str], number: int | None) -> None:
    from explain.phrases import percent

    tell.say(f"Box {number} of {names[0]} in each model:")
    rows = [
        (
            one["model"],
            one["label"] or "nothing",
            percent(one["score"]) if one["score"] is not None else "–",
            f"{one['iou']:.2f}" if one["iou"] is not None else "–",
            percent(one["inside"]) if one["inside"] is not None else "–",
            "no" if one["missing"] else "yes",
        )
        for one in said
    ]
    columns = ("model", "object", "how sure", "same box (IoU)", "heat in its box", "finds it")
    tell.table(columns, rows, right=columns[2:5])
    tell.say(*(f"{name}: {one['missing']}" for name, one in zip(names, said, strict=True) if one["missing"]))


def _report(tell: Teller, comparison: Comparison) -> None:
    from explain.export.result_folder import of_first
    from explain.phrases import count, milliseconds

    tell.say(f"{comparison.explanations[0].image.name}: {comparison.verdict}")
    rows = []
    for i, explanation in enumerate(comparison.explanations):
        label, sure = of_first(explanation)
        rows.append(
            (
                explanation.model.id,
                label,
                sure or "–",
                milliseconds(comparison.timings[i].median),
                count(explanation.evidence.resident.parameters),
                f"{comparison.agreement(0, i).iou_top20:.2f}",
            )
        )
    columns = ("model", "map of", "how sure", "one pass", "parameters", f"overlap with {comparison.names[0]}")
    tell.table(columns, rows, right=columns[2:])
    pairs = [
        f"{comparison.names[a]} and {comparison.names[b]} {comparison.agreement(a, b).iou_top20:.2f}"
        for a, b in combinations(range(len(comparison.names)), 2)
    ]
    mixed = f" {comparison.mixed}" if comparison.mixed else ""
    tell.say(f"Overlap of the hottest fifths: {', '.join(pairs)}.{mixed}")
