"""`compare`: explain one picture with several models, and compare where they looked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.pictures import describe_seal, load_explainer, open_picture
from sightglass.common.errors import ModelProblem, Problem
from sightglass.explain import phrases
from sightglass.explain.comparison import detections, models
from sightglass.explain.faithfulness import seal
from sightglass.export import result_folder
from sightglass.models import catalog
from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.cli.console import Progress
    from sightglass.common.files import Json
    from sightglass.explain.comparison.detections import Side
    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image

MODEL = ("size", "model")
"""Names of the columns that say which model a row is of."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions(cli.OutputOptions, cli.SealOptions, cli.LoadOptions):
    model: list[str] | None = cli.field(
        "--model -m ID",
        "Two or more models, one option each; a single one stands for all sizes of its family on this machine "
        "\\[efficientnet-lite0].",
        cli.MODEL,
    )
    box: int | None = cli.field(
        "--box N",
        "With detectors: the first model's box N, the surest is 1, and the same object in the others.",
        cli.MAP,
    )
    each_own: bool = cli.field(
        "--each-own",
        "Explain each model's own answer \\[in every model what the largest one answers].",
        cli.MAP,
        default=False,
    )


@cli.verb(
    cli.app,
    "compare",
    """
    sightglass compare bus.jpg
    sightglass compare bus.jpg -m efficientnet-lite0 -m resnet50
    sightglass compare bus.jpg -m yolo11n -m yolo26n --box 2
    sightglass compare bus.jpg --class trolleybus --question why --json
    """,
)
def compare(picture: cli.Picture, asked: cli.EngineOptions, options: CompareOptions) -> int:
    """Explain one picture with a small, a medium and a large model, or any others: what each predicts, how long it
    takes here, and how far they look at the same place.

    The folder, explained/<picture>_compared by default, gets comparison.jpg with the maps side by side, an overlay of
    each model's map, maps.npz with the maps on one grid, and comparison.json.
    """
    box = options.box
    if box is not None and "targets" in asked:
        raise Problem("--box is of one object, and --class of all of a class: leave one of them out.")
    if box is not None:
        cli.box_number(box)
    console, style = Console(options.json), options.style()
    with console.progress("Loading") as progress:
        comparison, sides = _compare(open_picture(picture, console), asked, options, progress)
        if options.seal:
            _seal(comparison, progress)
        more: Json = {"mixed": comparison.mixed}
        if sides:
            more |= {"box": box, "objects": [_object(one, sides[0]) for one in sides]}
        name = comparison.explanations[0].image.name.rsplit(".", 1)[0]
        # Not the picture's own folder, whose maps.npz its recipe is held against.
        (folder,) = result_folder.places([f"{name}_compared"], options.out)
        written = result_folder.write(folder, result_folder.of_comparison(comparison, style, more))
    _report(console, comparison)
    if sides:
        _report_objects(console, more["objects"], comparison, box)
    console.files(folder, written)
    console.result(result_folder.comparison(comparison) | more | {"folder": folder, "files": written})
    return 0


def _compare(
    image: Image, asked: cli.EngineOptions, options: CompareOptions, progress: Progress
) -> tuple[Comparison, list[Side]]:
    """Return the comparison and, with --box, the object in each model."""

    per_box = options.box is not None
    if per_box:
        asked["per"] = "detection"
    ids, names = catalog.choose_compared(options.model or ["efficientnet-lite0"])
    explanations, timings = [], []
    sides: list[Side] = []
    for i, name in enumerate(ids):
        progress(i / len(ids), name)
        explainer = load_explainer(name, options.device, progress, asked)
        if per_box and explainer.model.task != "detect":
            raise ModelProblem(f"{name} draws no boxes: leave --box out, or compare detectors.")
        explanation = explainer(image, maps=not per_box, **cli.with_classes(asked, explainer))
        if options.box is not None:
            sides.append(_side(explanation, options.box, sides))
            explanation = sides[-1].explanation
        explanations.append(explanation)
        timings.append(models.measure(explanation.evidence))
    if not (per_box or "targets" in asked or options.each_own):
        explanations = list(detections.same_target(explanations))
    return models.Comparison(tuple(explanations), names, tuple(timings)), sides


def _seal(comparison: Comparison, progress: Progress) -> None:
    """Seal the first map of each model, which is the one that is compared."""
    count = len(comparison.explanations)
    for i, explanation in enumerate(comparison.explanations):

        def update(share: float, words: str, i: int = i) -> None:
            progress((i + share) / count, f"{comparison.names[i]}: {words}")

        seal.seal_maps(explanation, 1, progress=update)


def _side(found: Explanation, number: int, sides: Sequence[Side]) -> Side:
    """Return the first model's box, or the same object in another model."""
    if not sides and number > len(found.predictions):
        shown = f"{found.model.id} shows {len(found.predictions)} here"
        raise Problem(f"There is no box {number}: {shown}, counted from 1; a lower --score-thr shows more.")
    wanted = sides[0].prediction if sides else found.predictions[number - 1]
    assert wanted is not None  # the first model's own box
    return detections.side(found, wanted)


def _object(one: Side, first: Side) -> Json:
    """Return what one model makes of the first one's box, for JSON; `missing` says why it does not show it."""
    found, wanted = one.prediction, first.prediction
    numbers = one.explanation.box_numbers(0) if one.explanation.heatmaps else None
    missing = None if found else "It has no candidate there."
    return {
        "model": one.explanation.model.id,
        **{name: getattr(found, name, None) for name in ("label", "score", "box")},
        "iou": intersection_over_union(found.box, wanted.box)
        if found and wanted and found.box and wanted.box
        else None,
        "inside": numbers.inside if numbers else None,
        "shares": {name: getattr(numbers, name) for name in ("own_only", "shared", "elsewhere", "outside")}
        if numbers
        else None,
        "missing": phrases.plain_text(one.missing.words) if one.missing else missing,
    }


def _report_objects(console: Console, objects: Sequence[Json], comparison: Comparison, number: int | None) -> None:
    names, named = comparison.names, _begin_rows(comparison)
    console.say(f"Box {number} of {names[0]} in each model:")
    rows = [
        (
            *who,
            one["label"] or "nothing",
            phrases.percent(one["score"]) if one["score"] is not None else "–",
            f"{one['iou']:.2f}" if one["iou"] is not None else "–",
            phrases.percent(one["inside"]) if one["inside"] is not None else "–",
            "no" if one["missing"] else "yes",
        )
        for who, one in zip(named, objects, strict=True)
    ]
    columns = ("object", "how sure", "same box (IoU)", "in its box", "finds it")
    console.table((*MODEL[-len(named[0]) :], *columns), rows, right=columns[1:4])
    console.say(*(f"{name}: {one['missing']}" for name, one in zip(names, objects, strict=True) if one["missing"]))


def _report(console: Console, comparison: Comparison) -> None:
    console.say(f"{comparison.explanations[0].image.name}: {comparison.verdict}")
    rows, named = [], _begin_rows(comparison)
    for i, explanation in enumerate(comparison.explanations):
        label, sure = result_folder.of_first(explanation)
        rows.append(
            (
                *named[i],
                label,
                sure or "–",
                phrases.milliseconds(comparison.timings[i].median),
                phrases.count(explanation.evidence.resident.parameters),
                comparison.overlap(0, i),
            )
        )
    columns = ("map of", "how sure", "one pass", "parameters", f"overlap with {comparison.names[0]}")
    console.table((*MODEL[-len(named[0]) :], *columns), rows, right=columns[1:])
    for name, explanation in zip(comparison.names, comparison.explanations, strict=True):
        if explanation.heatmaps:
            console.say(*describe_seal(explanation.known_seal(0), f"{name}, "))
    console.say(" ".join(filter(None, (comparison.overlaps, comparison.mixed))))


def _begin_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return what begins each model's row: the size that sentences and pictures call it by, if any, and its id."""
    ids = [explanation.model.id for explanation in comparison.explanations]
    if ids == [*comparison.names]:
        return [(id,) for id in ids]
    return [*zip(comparison.names, ids, strict=True)]
