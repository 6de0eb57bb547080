"""`detect`: boxes, and what each of them is made of."""

from __future__ import annotations

import math
import shlex
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import extra_formats as more
from cli import options as cli
from cli.console import Teller
from cli.image import each, report, woken
from common.errors import ModelProblem, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from explain.explanation import Explanation
    from explain.export.result_folder import File
    from explain.findings.missing import Missing
    from models.geometry import Box

ALPHA = 0.9
"""Of maps under boxes, as the screens have it: they are see-through where they are cold."""


def register(app: typer.Typer) -> None:
    cli.verb(
        app,
        "detect",
        """
        python -m explain detect bus.jpg
        python -m explain detect bus.jpg --method gradcam++ --target-layers model.16
        python -m explain detect *.jpg --score-thr 0.4 --topk 3 --renormalize --save-all
        python -m explain detect bus.jpg --class person --question why --device cpu
        python -m explain detect bus.jpg --missing 700,300 --class person
        python -m explain detect bus.jpg --box 2 --part left --json
        """,
    )(detect)


def detect(
    pictures: cli.Pictures,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="ID",
            help="A detector of `models list` \\[the first that is on this machine].",
            rich_help_panel=cli.MODEL,
            show_default=False,
        ),
    ] = None,
    question: cli.Question = None,
    method: cli.Method = None,
    target_layers: cli.Layers = None,
    part: cli.Part = None,
    per: cli.Per = "detection",
    ratio: cli.Ratio = None,
    class_: cli.Classes = None,
    box: cli.Boxes = None,
    candidate: cli.Candidates = None,
    missing: cli.Missing = None,
    top_k: cli.TopK = None,
    scale: cli.Scale = None,
    masks: cli.Masks = None,
    score_thr: cli.ScoreThr = None,
    iou: cli.Iou = None,
    only: cli.Only = None,
    preprocessing: cli.Preprocessing = None,
    words: cli.Words = None,
    example: cli.Examples = None,
    device: cli.Device = "auto",
    within: cli.Within = None,
    renormalize: cli.Renormalize = False,
    colormap: cli.Colormap = "inferno",
    alpha: cli.Alpha = None,
    save_all: cli.SaveAll = False,
    also: cli.Also = None,
    out: cli.Out = None,
    json: cli.Json = False,
) -> int:
    """What a detector finds in a picture, and where it looked for each box.

    Of each picture there are in its folder: *_original.jpg, *_detection.jpg with the boxes, *_gradcam.jpg with all maps
    under them, maps.npz with the numbers, analysis_summary.json, and recipe.json, which `replay` makes the very same
    maps of again.
    """
    from explain.export import result_folder
    from models.defaults import detector

    if renormalize and within not in (None, "each"):
        raise Problem(f"--renormalize is --within each: leave --within {within} or --renormalize away.")
    if (box or candidate or missing) and per != "detection":
        raise Problem(f"--box, --candidate and --missing are of single detections: leave --per {per} away.")
    numbers, places = [cli.counted(one) for one in box or ()], [_place(text) for text in missing or ()]
    tell, formats = Teller(json), more.chosen(also)
    look = result_folder.Look(colormap, ALPHA if alpha is None else alpha)
    given = cli.given(
        question=question,
        method=method,
        layers=target_layers,
        part=part,
        per=per,
        ratio=ratio,
        top_k=top_k,
        scale=scale,
        masks=masks,
        confidence=score_thr,
        iou=iou,
        preprocessing=preprocessing,
        vocabulary=words,
        examples=[_example(text) for text in example or ()],
        within="each" if renormalize else within,
    )

    def work(explanation: Explanation) -> tuple[dict[str, Any], Iterator[File]]:
        report(tell, explanation, look)
        known = _lacking(explanation, places, class_)
        asked = [explanation.candidate(*pair) for pair in candidates]
        for one in known:
            see = "" if places else f" Its map: --candidate {_named(one)}"
            tell.say(f"{result_folder.read(one.words)}{see}")
        for one in asked:
            tell.say(f"Candidate {one.candidate.anchor}: {result_folder.read(one.describe(named=True))}")
        if places and not known:
            tell.say("There is no candidate at that place, not even a weak one: try another place, or a rectangle.")
        said = result_folder.summary(explanation, look)
        said["missing"] = [_said(one, one.words) for one in known]
        said["candidates"] = [_said(one, one.describe(named=True)) for one in asked]
        made = chain(
            result_folder.of_boxes(explanation, look, everything=save_all), more.files(explanation, formats, look)
        )
        return said, result_folder.with_summary(made, said)

    name = model or detector()
    with tell.at_work(f"Waking {name}") as bar:
        explainer = woken(name, device, bar)
        if explainer.model.task != "detect":
            raise ModelProblem(f"{name} is a classifier and draws no boxes: use image, or a detector.")
        cli.checked(explainer, given)
        told = bool(words or example)
        given["classes"] = tuple(only or ()) if told else cli.classes(only, explainer.labels)
        of_class = (
            tuple(class_ or ()) if told else _labels(cli.classes(class_, explainer.labels), per, explainer.labels)
        )
        candidates = [_candidate(text, () if told else explainer.labels) for text in candidate or ()]

    def first(found: Explanation) -> dict[str, Any]:
        """What the maps are to be of, where that is known by what was found only."""
        shown = len(found.predictions)
        if beyond := next((number for number in numbers if number > shown), None):
            counted = "1 is shown" if shown == 1 else f"{shown} are shown, counted from 1" if shown else "none is shown"
            raise Problem(f"There is no box {beyond}: {counted}; a lower --score-thr shows more.")
        nearest = _lacking(found, places, class_) if places else ()
        there = ((one.candidate.anchor, one.candidate.index) for one in nearest)
        targets = (*(() if places else of_class), *(number - 1 for number in numbers), *candidates, *there)
        # No target at all would be the best boxes.
        return {"targets": targets, "maps": bool(targets)}

    if not numbers and not places:
        return each(tell, explainer, pictures, given | {"targets": (*of_class, *candidates)}, out, look, work)
    return each(tell, explainer, pictures, given, out, look, work, first)


def _labels(classes: tuple[int, ...], per: str, labels: tuple[str, ...]) -> tuple[int | str, ...]:
    """Of single boxes a number means a box, so their classes are named."""
    return tuple(labels[index] for index in classes) if per == "detection" else classes


def _candidate(text: str, labels: tuple[str, ...]) -> tuple[int, int | str]:
    """`labels`: none where the model is told what it looks for, so that only then it is known what its classes are."""
    anchor, _, name = text.partition(",")
    if not (anchor.strip().isdecimal() and name.strip()):
        raise Problem(f"--candidate is {text}: give a candidate's number and its class, such as 7211,dog.")
    name = name.strip()
    if not labels:
        return int(anchor), int(name) if name.isdecimal() else name
    return int(anchor), cli.classes([name], labels)[0]


def _place(text: str) -> tuple[str, Box]:
    """What was typed, and two corners in pixels of the picture, in any order; a point is both."""
    try:
        edges = [float(edge) for edge in text.split(",")]
        if not all(map(math.isfinite, edges)):
            raise ValueError
        x0, y0, x1, y1 = edges * 2 if len(edges) == 2 else edges
    except ValueError:
        example = "give a point, such as 300,400, or a rectangle, such as 50,400,240,900."
        raise Problem(f"--missing is {text}: {example}") from None
    return text, (x0, y0, x1, y1)


def _lacking(explanation: Explanation, places: Sequence[tuple[str, Box]], class_: list[str] | None) -> list[Missing]:
    """What came nearest at each place, of the classes asked for or of any; without places of each class that was asked
    for and is not among the boxes."""
    from explain.detections import missed

    wanted = cli.classes(class_, explanation.evidence.resident.adapter.labels)
    if not places:
        return missed(explanation, wanted)
    width, height = explanation.image.width, explanation.image.height
    for text, (x0, y0, x1, y1) in places:
        if not all(0 <= x <= width for x in (x0, x1)) or not all(0 <= y <= height for y in (y0, y1)):
            size = f"{explanation.image.name} is {width} by {height} pixels"
            raise Problem(f"--missing is {text}, and {size}: give a place that lies in the picture.")
    found = [explanation.missing(box, index) for _, box in places for index in wanted or (None,)]
    return [one for one in found if one is not None]


def _named(one: Missing) -> str:
    return shlex.quote(f"{one.candidate.anchor},{one.candidate.label}")


def _said(one: Missing, words: str) -> dict[str, Any]:
    from explain.export import result_folder

    candidate = one.candidate
    return {
        "words": result_folder.read(words),
        "anchor": candidate.anchor,
        "index": candidate.index,
        "label": candidate.label,
        "score": candidate.score,
        "box": candidate.box,
        "why": one.reason.kind,
    }


def _example(text: str) -> tuple[tuple[float, ...], str]:
    place, _, name = text.partition("=")
    try:
        x0, y0, x1, y1 = map(float, place.split(","))
    except ValueError:
        raise Problem(f"--example is {text}: give a box and a name, such as 50,400,240,900=coat.") from None
    return (x0, y0, x1, y1), name or "like the example"
