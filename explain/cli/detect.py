"""`detect`: boxes, and what each of them is made of."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explain.cli import also as more
from explain.cli import options as cli
from explain.cli.pictures import each, report, woken
from explain.cli.tell import Teller
from models.errors import ModelProblem, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from explain.explanation import Explanation
    from explain.files import File

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
    from explain import files
    from explain.detections import missed
    from models.choice import detector

    if renormalize and within not in (None, "each"):
        raise Problem(f"--renormalize is --within each: leave --within {within} or --renormalize away.")
    if (box or candidate) and per != "detection":
        raise Problem(f"--box and --candidate are of single detections: leave --per {per} away.")
    tell, formats = Teller(json), more.chosen(also)
    look = files.Look(colormap, ALPHA if alpha is None else alpha)
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
        labels = explanation.evidence.resident.adapter.labels
        lacking = missed(explanation, cli.classes(class_, labels))
        tell.say(*lacking)
        said = files.summary(explanation, look) | {"missing": lacking}
        made = chain(files.of_boxes(explanation, look, everything=save_all), more.files(explanation, formats, look))
        return said, files.with_summary(made, said)

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
        looked_up = (_candidate(text, explainer.labels) for text in candidate or ())
        given["targets"] = (*of_class, *(_place(number) for number in box or ()), *looked_up)
    return each(tell, explainer, pictures, given, out, look, work)


def _labels(classes: tuple[int, ...], per: str, labels: tuple[str, ...]) -> tuple[int | str, ...]:
    """Of single boxes a number means a box, so their classes are named."""
    return tuple(labels[index] for index in classes) if per == "detection" else classes


def _place(number: int) -> int:
    if number < 1:
        raise Problem(f"--box is {number}: boxes are counted from 1, the surest first.")
    return number - 1


def _candidate(text: str, labels: tuple[str, ...]) -> tuple[int, int]:
    anchor, _, name = text.partition(",")
    if not (anchor.strip().isdecimal() and name.strip()):
        raise Problem(f"--candidate is {text}: give a candidate's number and its class, such as 7211,dog.")
    return int(anchor), cli.classes([name.strip()], labels)[0]


def _example(text: str) -> tuple[tuple[float, ...], str]:
    place, _, name = text.partition("=")
    try:
        x0, y0, x1, y1 = map(float, place.split(","))
    except ValueError:
        raise Problem(f"--example is {text}: give a box and a name, such as 50,400,240,900=coat.") from None
    return (x0, y0, x1, y1), name or "like the example"
