"""`image`, `class` and `segment`: explain pictures."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.pictures import Series, describe_seal, extra_files, load_explainer, parse_formats, report
from sightglass.common.errors import ModelProblem
from sightglass.explain.findings.numbers import describe_areas
from sightglass.explain.phrases import plain_text
from sightglass.export import result_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sightglass.common.files import Json
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.explanation import Explanation
    from sightglass.export.result_folder import File


@dataclass(frozen=True, kw_only=True)
class ImageOptions(cli.OutputOptions, cli.SealOptions, cli.ModelOptions):
    npy: bool = cli.field(
        "--npy", "Also write each map at picture size: .npy, float32 (H, W) in 0..1.", cli.OUT, default=False
    )
    also: cli.ExtraFormats = None


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
    sightglass image bus.jpg --also svg,html,gif
    sightglass image bus.jpg --json | jq .results[0].headline
    """,
)
def image(pictures: cli.Pictures, asked: cli.EngineOptions, options: ImageOptions) -> int:
    """Show what a model predicts for a picture, and where it looked for each of its best predictions.

    Each picture's folder gets gradcam_prediction.png (picture, heatmap, overlay), an overlay for each of the best
    classes in top_predictions/, topk_comparison.jpg, maps.npz with the numbers, analysis_summary.json, and recipe.json,
    from which `replay` makes exactly the same maps.
    """
    console, formats, style = Console(options.json), parse_formats(options.also), options.style()
    explainer, given = _load(console, asked, options)

    def work(explanation: Explanation) -> tuple[Json, Iterator[File]]:
        report(console, explanation, style)
        summary = result_folder.summary(explanation, style)
        made = chain(
            result_folder.of_picture(explanation, style, npy=options.npy),
            extra_files(explanation, formats, style),
        )
        return summary, result_folder.with_summary(made, summary)

    return Series(console, explainer, pictures, given, options.out, style, options.seal).run(work)


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
    explainer, given = _load(console, asked, options)

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
class SegmentOptions(cli.OutputOptions, cli.SealOptions, cli.LoadOptions):
    model: str = cli.field(
        "--model -m ID", "A segmentation network listed by `models list` \\[demo-seg].", cli.MODEL, default="demo-seg"
    )
    candidate: list[str] | None = cli.field(
        "--candidate N,CLASS", "A region or pixel by the number of a pixel in it, as named in a recipe.", cli.MAP
    )
    npy: bool = cli.field(
        "--npy", "Also write each map at picture size: .npy, float32 (H, W) in 0..1.", cli.OUT, default=False
    )
    also: cli.ExtraFormats = None


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
    console, formats, style = Console(options.json), parse_formats(options.also), options.style()
    with console.progress(f"Loading {options.model}") as progress:
        explainer = load_explainer(options.model, options.device, progress, asked)
    if not explainer.model.segments:
        other = "detect" if explainer.model.task == "detect" else "image"
        raise ModelProblem(f"{options.model} gives no class to a pixel: use {other}, or a segmentation network.")
    given = cli.with_classes(asked, explainer)
    if options.candidate:
        places = tuple(cli.read_candidate(text, explainer.labels) for text in options.candidate)
        given = {"per": "region", **given, "targets": places}

    def work(explanation: Explanation) -> tuple[Json, Iterator[File]]:
        report(console, explanation, style)
        console.say(*(plain_text(words) for words in describe_areas(explanation)))
        summary = result_folder.summary(explanation, style)
        made = chain(
            result_folder.of_segmentation(explanation),
            result_folder.of_picture(explanation, style, npy=options.npy),
            extra_files(explanation, formats, style),
        )
        return summary, result_folder.with_summary(made, summary)

    return Series(console, explainer, pictures, given, options.out, style, options.seal).run(work)


def _load(
    console: Console, asked: cli.EngineOptions, options: ImageOptions | ClassOptions
) -> tuple[Explainer, dict[str, Any]]:
    """Return the explainer, and its options checked, with the classes to explain as targets."""
    with console.progress(f"Loading {options.model}") as progress:
        explainer = load_explainer(options.model, options.device, progress, asked)
    return explainer, cli.with_classes(asked, explainer)
