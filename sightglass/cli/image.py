"""`image`, `class`, `segment` and `detect`: explain pictures."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.pictures import Series, describe_seal, extra_files, load_explainer, parse_formats, report
from sightglass.common.errors import ModelProblem, Problem
from sightglass.explain import phrases
from sightglass.explain.comparison import detections
from sightglass.explain.tasks import task_of
from sightglass.export import result_folder
from sightglass.models import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sightglass.common.files import Json
    from sightglass.explain.evidence.missing import Missing
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.explanation import Explanation
    from sightglass.export.result_folder import File
    from sightglass.models.geometry import Box

    Target = int | str | tuple[int | None, int | str]


@dataclass(frozen=True, kw_only=True)
class FileOptions(cli.OutputOptions):
    npy: bool = cli.field(
        "--npy", "Also write each map at picture size: .npy, float32 (H, W) in 0..1.", cli.OUT, default=False
    )
    also: cli.ExtraFormats = None


@dataclass(frozen=True, kw_only=True)
class ImageOptions(FileOptions, cli.SealOptions, cli.ModelOptions):
    labels: Path | None = cli.field(
        "--labels FILE",
        "Class names of a model's file: label_mapping.json with {index: name} or {name: index}, or a list.",
        cli.MODEL,
    )
    objects: list[str] | None = cli.field(
        "--object MASK",
        "Where the object is, to say how much of the evidence lies outside of it: a mask's file, bright there, or a "
        "rectangle X,Y,X,Y in pixels; may be repeated.",
        cli.MAP,
    )


@dataclass(frozen=True, kw_only=True)
class ClassOptions(cli.OutputOptions, cli.SealOptions, cli.ModelOptions):
    pass


@cli.verb(
    cli.app,
    "image",
    """
    sightglass image bus.jpg
    sightglass image *.jpg --model efficientnet-lite2 --top-k 3 --out out
    sightglass image bus.jpg --question why --class trolleybus --npy
    sightglass image bus.jpg --method layercam --target-layers blocks.4,bn2
    sightglass image bus.jpg --method all
    sightglass image bus.jpg --also svg,html,gif
    sightglass image bus.jpg --json | jq .results[0].headline
    """,
)
def image(pictures: cli.Pictures, asked: cli.EngineOptions, options: ImageOptions) -> int:
    """Show what a model predicts for a picture, and where it looked for each of its best predictions.

    Each picture's folder gets gradcam_prediction.png (picture, heatmap, overlay), an overlay for each of the best
    classes in top_predictions/, topk_comparison.jpg, maps.npz with the numbers, analysis_summary.json, and recipe.json,
    from which `replay` makes exactly the same maps. With --method all it also gets methods.jpg, the best class's map by
    every quick method.
    """
    return _write_pictures(pictures, asked, options)


@cli.verb(
    cli.app,
    "class",
    """
    sightglass class bus.jpg --class trolleybus
    sightglass class bus.jpg --class 874 --class minibus --question why
    sightglass class bus.jpg --class goldfish --json | jq .results[0].classes[0].rank
    """,
)
def class_(pictures: cli.Pictures, asked: cli.EngineOptions, options: ClassOptions) -> int:
    """Show what speaks for a class of your choice, given by name or index, whatever the model predicts.

    Each class gets class_analysis_<class>.json (its rank among all classes, its score, its map in numbers and how far
    that map agrees with the map of the best class), gradcam_class_<class>.png and .npy.
    """
    if "targets" not in asked:
        raise ModelProblem("Which class? Name it: --class cat, or its index: --class 281.")
    console, style = Console(options.json), options.style()
    explainer = _load(console, options.model, asked, options)
    given = cli.with_classes(asked, explainer)

    def work(explanation: Explanation) -> tuple[Json, Iterator[File]]:
        analyses = [result_folder.class_analysis(explanation, i) for i in range(len(explanation.heatmaps))]
        for i, analysis in enumerate(analyses):
            console.say(f"{explanation.image.name}, {explanation.model.id}: {analysis['headline']}")
            console.say(*describe_seal(explanation.known_seal(i)))
        made = chain.from_iterable(
            result_folder.of_class(explanation, i, analysis, style) for i, analysis in enumerate(analyses)
        )
        return {"picture": explanation.image.name, "classes": analyses, "recipe": explanation.recipe}, made

    return Series(console, explainer, pictures, given, options.out, style, options.seal).run(work)


@dataclass(frozen=True, kw_only=True)
class SegmentOptions(FileOptions, cli.SealOptions, cli.LoadOptions):
    model: str = cli.field(
        "--model -m ID", "A segmentation network listed by `models list` \\[demo-seg].", cli.MODEL, default="demo-seg"
    )
    candidate: list[str] | None = cli.field(
        "--candidate N,CLASS", "A region or pixel by the number of a pixel in it, as named in a recipe.", cli.MAP
    )


@cli.verb(
    cli.app,
    "segment",
    """
    sightglass segment scene-3.png
    sightglass segment scene-3.png --per region --top-k 3
    sightglass segment scene-3.png --per region --at 120,80 --against star
    sightglass segment scene-3.png --per pixel --at 120,80 --method layercam
    sightglass segment scene-3.png --class gear --at 60,40,140,120 --json
    """,
)
def segment(pictures: cli.Pictures, asked: cli.EngineOptions, options: SegmentOptions) -> int:
    """Show which class a segmentation network gives each pixel, and what speaks for a class, a region or a pixel.

    Each picture's folder gets segmentation.png (colours, hatching, names), classes.png with each pixel's class by its
    index, a figure and an overlay of each map, maps.npz with the numbers, analysis_summary.json, and recipe.json, from
    which `replay` makes exactly the same maps.
    """
    return _write_pictures(pictures, asked, options)


def _load(console: Console, name: str, asked: cli.EngineOptions, options: cli.LoadOptions) -> Explainer:
    """Return the explainer, and its options checked."""
    labels = options.labels if isinstance(options, ImageOptions) else None
    with console.progress(f"Loading {name}") as progress:
        return load_explainer(name, options.device, progress, asked, labels=labels)


def _write_pictures(pictures: list[str], asked: cli.EngineOptions, options: ImageOptions | SegmentOptions) -> int:
    """Explain pictures into their folders, of a segmentation with its areas, and return the exit code."""
    console, formats, style = Console(options.json), parse_formats(options.also), options.style()
    if by_all := asked.get("method") == cli.ALL and isinstance(options, ImageOptions):
        del asked["method"]
    explainer = _load(console, options.model, asked, options)
    areas = isinstance(options, SegmentOptions)
    task_of(explainer.model).check_verb("segment" if areas else "image", options.model)
    given: dict[str, Any] = cli.with_classes(asked, explainer)
    if isinstance(options, SegmentOptions) and options.candidate:
        places = tuple(cli.read_candidate(text, explainer.labels) for text in options.candidate)
        given = {"per": "region", **given, "targets": places}

    where = [_parse_object(text) for text in options.objects or ()] if isinstance(options, ImageOptions) else []
    if where and len(pictures) > 1:
        raise Problem("--object is of one picture: explain the others without it.")

    def work(explanation: Explanation) -> tuple[Json, Iterator[File]]:
        explanation = explanation.with_object(*where)
        report(console, explanation, style)
        console.say(*explanation.task.list_answers(explanation))
        summary = result_folder.summary(explanation, style)
        made = chain(
            result_folder.of_segmentation(explanation) if areas else (),
            result_folder.of_picture(explanation, style, npy=options.npy),
            result_folder.of_methods(explanation, style) if by_all and explanation.heatmaps else (),
            extra_files(explanation, formats, style),
        )
        return summary, result_folder.with_summary(made, summary)

    return Series(console, explainer, pictures, given, options.out, style, options.seal).run(work)


@dataclass(frozen=True, kw_only=True)
class DetectOptions(cli.OutputOptions, cli.SealOptions, cli.LoadOptions):
    model: str | None = cli.field(
        "--model -m ID", "A detector listed by `models list` \\[the first on this machine].", cli.MODEL
    )
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
    sightglass detect bus.jpg
    sightglass detect bus.jpg --method gradcam++ --target-layers model.16
    sightglass detect *.jpg --score-thr 0.4 --topk 3 --renormalize --save-all
    sightglass detect bus.jpg --class person --question why --device cpu
    sightglass detect bus.jpg --missing 700,300 --class person
    sightglass detect bus.jpg --box 2 --part left --json
    """,
)
def detect(pictures: cli.Pictures, asked: cli.EngineOptions, options: DetectOptions) -> int:
    """Show what a detector finds in a picture, and where it looked for each box.

    Each picture's folder gets *_original.jpg, *_detection.jpg with the boxes, *_gradcam.jpg with all maps under them,
    maps.npz with the numbers, analysis_summary.json, and recipe.json, from which `replay` makes exactly the same maps.
    """
    if options.renormalize and asked.setdefault("within", "each") != "each":
        raise Problem(f"--renormalize is --within each: leave --within {asked['within']} or --renormalize out.")
    per = asked.setdefault("per", "detection")
    if (options.box or options.candidate or options.missing) and per != "detection":
        raise Problem(f"--box, --candidate and --missing are for single detections: leave --per {per} out.")
    boxes = [cli.box_number(number) for number in options.box or ()]
    places = [_parse_place(text) for text in options.missing or ()]
    formats = parse_formats(options.also)
    console, style = Console(options.json), options.style(even=False)
    name = options.model or catalog.detector()
    explainer = _load(console, name, asked, options)
    task_of(explainer.model).check_verb("detect", name)
    targets = Targets.of(asked, explainer, options.candidate or (), boxes, places)

    def work(explanation: Explanation) -> tuple[Json, Iterator[File]]:
        report(console, explanation, style)
        without = len(explanation.predictions) - len(explanation.heatmaps)
        if per == "detection" and without > 0 and not (boxes or places or any(targets.options.values())):
            console.say(f"{phrases.plural(without, 'more box')} without a map: --top-k N makes N maps.")
        missing = [(one, one.words) for one in targets.missing(explanation)]
        candidates = [
            (one, one.describe(named=True)) for one in (explanation.candidate(*pair) for pair in targets.candidates)
        ]
        for one, words in missing:
            name = shlex.quote(f"{one.candidate.anchor},{one.candidate.label}")
            hint = "" if targets.places else f" Its map: --candidate {name}"
            console.say(f"{phrases.plain_text(words)}{hint}")
        for one, words in candidates:
            console.say(f"Candidate {one.candidate.anchor}: {phrases.plain_text(words)}")
        if targets.places and not missing:
            console.say("There is not even a weak candidate at that place: try another place, or a rectangle.")
        summary = result_folder.summary(explanation, style)
        summary["missing"] = [_summary(*one) for one in missing]
        summary["candidates"] = [_summary(*one) for one in candidates]
        made = chain(
            result_folder.of_boxes(explanation, style, everything=options.save_all, boxes=not options.no_boxes),
            extra_files(explanation, formats, style),
        )
        return summary, result_folder.with_summary(made, summary)

    series = Series(console, explainer, pictures, asked | targets.options, options.out, style, options.seal)
    return series.run(work, targets.find if boxes or places else None)


@dataclass(frozen=True)
class Targets:
    """What the maps of `detect` show."""

    boxes: list[int]
    """Numbers of boxes, the surest is 1."""
    places: list[tuple[str, Box]]
    """As typed, and as a rectangle xyxy in pixels of the picture."""
    candidates: list[tuple[int, int]]
    """Number of the candidate and its class."""
    classes: tuple[int | str, ...]
    only: tuple[int | str, ...]
    """Classes whose boxes are kept; all where empty."""
    wanted: list[str] | None
    """Classes as typed."""

    @staticmethod
    def of(
        asked: cli.EngineOptions,
        explainer: Explainer,
        candidates: Sequence[str],
        boxes: list[int],
        places: list[tuple[str, Box]],
    ) -> Targets:
        """Return the targets that the options name; raise ModelProblem for an unknown class."""
        labels, wanted, kept = cli.known_labels(asked, explainer), asked.get("targets"), asked.get("classes", ())
        cli.class_indices(kept, labels)
        indices = cli.class_indices(wanted, labels)
        # For single detections a number would mean a box, so classes are named.
        classes = tuple(labels[index] for index in indices) if asked["per"] == "detection" else indices
        only = tuple(cli.read_class(name, labels) for name in kept)
        return Targets(boxes, places, [cli.read_candidate(text, labels) for text in candidates], classes, only, wanted)

    @property
    def options(self) -> dict[str, Any]:
        """The options that do not depend on what is found in a picture."""
        return {"classes": self.only, "targets": (*self.classes, *self.candidates)}

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
        wanted = cli.class_indices(self.wanted, explanation.evidence.resident.adapter.labels)
        if not self.places:
            return detections.find_missed(explanation, wanted)
        width, height = explanation.image.width, explanation.image.height
        for text, (x0, y0, x1, y1) in self.places:
            if not all(0 <= x <= width for x in (x0, x1)) or not all(0 <= y <= height for y in (y0, y1)):
                size = f"{explanation.image.name} is {width} by {height} pixels"
                raise Problem(f"--missing is {text}, and {size}: give a place in the picture.")
        found = [explanation.missing(box, index) for _, box in self.places for index in wanted or (None,)]
        return [one for one in found if one is not None]


def _parse_place(text: str) -> tuple[str, Box]:
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


def _parse_object(text: str) -> str | tuple[float, ...]:
    """Return the path of a mask, or the edges of a rectangle."""
    edges = text.split(",")
    return tuple(map(float, edges)) if all(re.fullmatch(r"-?\d+(\.\d*)?", edge) for edge in edges) else text


def _summary(one: Missing, words: str) -> Json:
    shown = {name: getattr(one.candidate, name) for name in ("anchor", "index", "label", "score", "box")}
    return {"words": phrases.plain_text(words), **shown, "why": one.reason.kind}
