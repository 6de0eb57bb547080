"""`detect`: find boxes in pictures, and show what each of them rests on."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from cli import options as cli
from cli.console import Console
from cli.pictures import Series, extra_files, load_explainer, parse_formats, report
from common.errors import ModelProblem, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from explain.explainer import Explainer
    from explain.explanation import Explanation
    from explain.export.result_folder import File
    from explain.findings.missing import Missing
    from models.geometry import Box

    Target = int | str | tuple[int | None, int | str]

ALPHA = 0.9
"""Opacity of maps under boxes, as on the dashboard: their cold areas are transparent anyway."""


@dataclass(frozen=True, kw_only=True)
class BoxOptions:
    score_thr: cli.ScoreThr = None
    iou: float | None = cli.field("--iou 0..1", "Drop the weaker of two boxes that overlap more \\[0.7].", cli.BOXES)
    only: list[str] | None = cli.field("--only CLASS", "Drop boxes of other classes; may be repeated.", cli.BOXES)


@dataclass(frozen=True, kw_only=True)
class DetectOptions(cli.OutputOptions, BoxOptions, cli.MapOptions, cli.LoadOptions):
    model: str | None = cli.field(
        "--model -m ID", "A detector listed by `models list` \\[the first on this machine].", cli.MODEL
    )
    words: cli.Words = None
    example: list[str] | None = cli.field(
        "--example X,Y,X,Y=NAME", "A box in the picture around what a YOLOE model should look for.", cli.MODEL
    )
    per: str = cli.field(
        "--per WHAT", "One map for each detection, class or picture \\[detection].", cli.MAP, default="detection"
    )
    ratio: float | None = cli.field(
        "--ratio 0..1", "With --per picture: the share of strongest candidates \\[0.02].", cli.MAP
    )
    class_: cli.Classes = None
    box: list[int] | None = cli.field("--box N", "One box by its rank, the surest is 1; may be repeated.", cli.MAP)
    candidate: list[str] | None = cli.field(
        "--candidate N,CLASS", "A raw candidate, shown or not, as named in a recipe.", cli.MAP
    )
    missing: list[str] | None = cli.field(
        "--missing X,Y",
        "The strongest candidate at a point, or in a rectangle X,Y,X,Y, in pixels of the picture: of --class or of "
        "any class, why it is not shown, and its map.",
        cli.MAP,
    )
    top_k: cli.TopK = None
    scale: cli.Scale = None
    masks: cli.Masks = None
    within: str | None = cli.field(
        "--within WHERE",
        "Show the map in the whole picture, inside the boxes, or inside them rescaled together (shared) or one by "
        "one (each) \\[picture].",
        cli.OUT,
    )
    renormalize: bool = cli.field(
        "--renormalize", "Show the map inside the boxes, rescaled in each: --within each.", cli.OUT, default=False
    )
    save_all: bool = cli.field(
        "--save-all", "Also write an image and a .npy of each box, and a contact sheet.", cli.OUT, default=False
    )
    no_boxes: bool = cli.field(
        "--no-boxes", "Draw the maps without boxes; *_detection.jpg still has them.", cli.OUT, default=False
    )
    also: cli.ExtraFormats = None


@cli.verb(
    cli.app,
    "detect",
    """
    python -m explain detect bus.jpg
    python -m explain detect bus.jpg --method gradcam++ --target-layers model.16
    python -m explain detect *.jpg --score-thr 0.4 --topk 3 --renormalize --save-all
    python -m explain detect bus.jpg --class person --question why --device cpu
    python -m explain detect bus.jpg --missing 700,300 --class person
    python -m explain detect bus.jpg --box 2 --part left --json
    """,
)
def detect(pictures: cli.Pictures, options: DetectOptions) -> int:
    """Show what a detector finds in a picture, and where it looked for each box.

    Each picture's folder gets *_original.jpg, *_detection.jpg with the boxes, *_gradcam.jpg with all maps under them,
    maps.npz with the numbers, analysis_summary.json, and recipe.json, from which `replay` makes exactly the same maps.
    """
    from models.catalog import detector

    if options.renormalize and options.within not in (None, "each"):
        raise Problem(f"--renormalize is --within each: leave --within {options.within} or --renormalize out.")
    if (options.box or options.candidate or options.missing) and options.per != "detection":
        raise Problem(f"--box, --candidate and --missing are for single detections: leave --per {options.per} out.")
    boxes = [cli.box_number(number) for number in options.box or ()]
    places = [_place(text) for text in options.missing or ()]
    formats = parse_formats(options.also)
    console, colours = Console(options.json), options.colours(ALPHA)
    given = cli.engine_options(
        options,
        examples=[_example(text) for text in options.example or ()],
        within="each" if options.renormalize else options.within,
    )
    name = options.model or detector()
    with console.progress(f"Loading {name}") as progress:
        explainer = load_explainer(name, options.device, progress, given)
        if explainer.model.task != "detect":
            raise ModelProblem(f"{name} is a classifier and draws no boxes: use image, or a detector.")
    targets = Targets.of(options, explainer, boxes, places)
    given["classes"] = targets.only
    work = Report(console, options, targets, formats)
    series = Series(console, explainer, pictures, given, options.out, colours)
    if boxes or places:
        return series.run(work, targets.find)
    series.options["targets"] = (*targets.classes, *targets.candidates)
    return series.run(work)


@dataclass(frozen=True)
class Targets:
    """What the maps of `detect` show."""

    boxes: list[int]
    """Numbers of boxes, the surest is 1."""
    places: list[tuple[str, Box]]
    """As typed, and as a rectangle xyxy in pixels of the picture."""
    candidates: list[tuple[int, int | str]]
    """Number of the candidate and its class."""
    classes: tuple[int | str, ...]
    only: tuple[int | str, ...]
    """Classes whose boxes are kept; all where empty."""
    wanted: list[str] | None
    """Classes as typed."""

    @staticmethod
    def of(options: DetectOptions, explainer: Explainer, boxes: list[int], places: list[tuple[str, Box]]) -> Targets:
        """Return the targets that the options name; raise ModelProblem for an unknown class."""
        # A model with an open vocabulary has its classes only once it is given words or examples.
        labels = None if options.words or options.example else explainer.labels
        only: tuple[int | str, ...] = tuple(options.only or ())
        classes: tuple[int | str, ...] = tuple(options.class_ or ())
        if labels is not None:
            only = cli.class_indices(options.only, labels)
            indices = cli.class_indices(options.class_, labels)
            # For single detections a number would mean a box, so classes are named.
            classes = tuple(labels[index] for index in indices) if options.per == "detection" else indices
        candidates = [_candidate(text, labels) for text in options.candidate or ()]
        return Targets(boxes, places, candidates, classes, only, options.class_)

    def find(self, explanation: Explanation) -> dict[str, Any]:
        """Return the options that depend on what was found in the picture."""
        shown = len(explanation.predictions)
        if beyond := next((number for number in self.boxes if number > shown), None):
            counted = "1 is shown" if shown == 1 else f"{shown} are shown, counted from 1" if shown else "none is shown"
            raise Problem(f"There is no box {beyond}: {counted}; a lower --score-thr shows more.")
        nearest = self.missing(explanation) if self.places else ()
        targets: tuple[Target, ...] = (
            *(() if self.places else self.classes),
            *(number - 1 for number in self.boxes),
            *self.candidates,
            *((one.candidate.anchor, one.candidate.index) for one in nearest),
        )
        # No target at all would mean the best boxes.
        return {"targets": targets, "maps": bool(targets)}

    def missing(self, explanation: Explanation) -> list[Missing]:
        """Return the strongest candidate at each place, of the wanted classes or of any; without places, that of each
        wanted class without a box."""
        from explain.detections import missed

        wanted = cli.class_indices(self.wanted, explanation.evidence.resident.adapter.labels)
        if not self.places:
            return missed(explanation, wanted)
        width, height = explanation.image.width, explanation.image.height
        for text, (x0, y0, x1, y1) in self.places:
            if not all(0 <= x <= width for x in (x0, x1)) or not all(0 <= y <= height for y in (y0, y1)):
                size = f"{explanation.image.name} is {width} by {height} pixels"
                raise Problem(f"--missing is {text}, and {size}: give a place in the picture.")
        found = [explanation.missing(box, index) for _, box in self.places for index in wanted or (None,)]
        return [one for one in found if one is not None]


@dataclass(frozen=True)
class Report:
    console: Console
    options: DetectOptions
    targets: Targets
    formats: tuple[str, ...]

    def __call__(self, explanation: Explanation) -> tuple[dict[str, Any], Iterator[File]]:
        from explain.export import result_folder
        from explain.phrases import plain_text

        colours = self.options.colours(ALPHA)
        report(self.console, explanation, colours)
        missing = [(one, one.words) for one in self.targets.missing(explanation)]
        candidates = [
            (one, one.describe(named=True))
            for one in (explanation.candidate(*pair) for pair in self.targets.candidates)
        ]
        for one, words in missing:
            name = shlex.quote(f"{one.candidate.anchor},{one.candidate.label}")
            hint = "" if self.targets.places else f" Its map: --candidate {name}"
            self.console.say(f"{plain_text(words)}{hint}")
        for one, words in candidates:
            self.console.say(f"Candidate {one.candidate.anchor}: {plain_text(words)}")
        if self.targets.places and not missing:
            self.console.say("There is not even a weak candidate at that place: try another place, or a rectangle.")
        summary = result_folder.summary(explanation, colours)
        summary["missing"] = [_summary(*one) for one in missing]
        summary["candidates"] = [_summary(*one) for one in candidates]
        made = chain(
            result_folder.of_boxes(
                explanation, colours, everything=self.options.save_all, boxes=not self.options.no_boxes
            ),
            extra_files(explanation, self.formats, colours),
        )
        return summary, result_folder.with_summary(made, summary)


def _candidate(text: str, labels: Sequence[str] | None) -> tuple[int, int | str]:
    """Return the candidate's number and class; where `labels` is None the class is not looked up."""
    anchor, _, name = text.partition(",")
    if not (anchor.strip().isdecimal() and name.strip()):
        raise Problem(f"--candidate is {text}: give a candidate's number and its class, such as 7211,dog.")
    name = name.strip()
    if labels is None:
        return int(anchor), int(name) if name.isdecimal() else name
    return int(anchor), cli.class_indices([name], labels)[0]


def _place(text: str) -> tuple[str, Box]:
    """Return the text and its two corners in pixels of the picture, in any order; a point is both."""
    try:
        edges = [float(edge) for edge in text.split(",")]
        if not all(map(math.isfinite, edges)):
            raise ValueError
        x0, y0, x1, y1 = edges * 2 if len(edges) == 2 else edges
    except ValueError:
        example = "give a point, such as 300,400, or a rectangle, such as 50,400,240,900."
        raise Problem(f"--missing is {text}: {example}") from None
    return text, (x0, y0, x1, y1)


def _summary(one: Missing, words: str) -> dict[str, Any]:
    from explain.phrases import plain_text

    shown = {name: getattr(one.candidate, name) for name in ("anchor", "index", "label", "score", "box")}
    return {"words": plain_text(words), **shown, "why": one.reason.kind}


def _example(text: str) -> tuple[tuple[float, ...], str]:
    place, _, name = text.partition("=")
    try:
        x0, y0, x1, y1 = map(float, place.split(","))
    except ValueError:
        raise Problem(f"--example is {text}: give a box and a name, such as 50,400,240,900=coat.") from None
    return (x0, y0, x1, y1), name or "like the example"
