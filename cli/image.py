"""`image` and `class`: explain pictures one after another, each into its own folder."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from cli import options as cli
from cli.console import Console
from cli.pictures import Series, extra_files, load_explainer, parse_formats, report
from common.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from explain.explainer import Explainer
    from explain.explanation import Explanation
    from explain.export.result_folder import File


@dataclass(frozen=True, kw_only=True)
class ImageOptions(cli.OutputOptions, cli.MapOptions, cli.ModelOptions):
    class_: cli.Classes = None
    top_k: cli.TopK = None
    scale: cli.Scale = None
    masks: cli.Masks = None
    head: cli.Head = None
    npy: bool = cli.field(
        "--npy", "Also write each map at picture size: .npy, float32 (H, W) in 0..1.", cli.OUT, default=False
    )
    also: cli.ExtraFormats = None


@dataclass(frozen=True, kw_only=True)
class ClassOptions(cli.OutputOptions, cli.MapOptions, cli.ModelOptions):
    class_: cli.Classes = None
    masks: cli.Masks = None
    head: cli.Head = None


@cli.verb(
    cli.app,
    "image",
    """
    python -m explain image bus.jpg
    python -m explain image *.jpg --model efficientnet-lite2 --top-k 3 --out out
    python -m explain image bus.jpg --question why --class trolleybus --npy
    python -m explain image bus.jpg --method layercam --target-layers blocks.4,bn2
    python -m explain image bus.jpg --also svg,html,gif
    python -m explain image bus.jpg --json | jq .results[0].headline
    """,
)
def image(pictures: cli.Pictures, options: ImageOptions) -> int:
    """Show what a model predicts for a picture, and where it looked for each of its best predictions.

    Each picture's folder gets gradcam_prediction.png (picture, heatmap, overlay), an overlay for each of the best
    classes in top_predictions/, topk_comparison.jpg, maps.npz with the numbers, analysis_summary.json, and recipe.json,
    from which `replay` makes exactly the same maps.
    """
    from explain.export import result_folder

    console, formats, colours = Console(options.json), parse_formats(options.also), options.colours()
    explainer, given = _loaded(console, options)

    def work(explanation: Explanation) -> tuple[dict[str, Any], Iterator[File]]:
        report(console, explanation, colours)
        summary = result_folder.summary(explanation, colours)
        made = chain(
            result_folder.of_picture(explanation, colours, npy=options.npy),
            extra_files(explanation, formats, colours),
        )
        return summary, result_folder.with_summary(made, summary)

    return Series(console, explainer, pictures, given, options.out, colours).run(work)


@cli.verb(
    cli.app,
    "class",
    """
    python -m explain class bus.jpg --class trolleybus
    python -m explain class bus.jpg --class 874 --class minibus --question why
    python -m explain class bus.jpg --class goldfish --json | jq .results[0].classes[0].rank
    """,
)
def class_(pictures: cli.Pictures, options: ClassOptions) -> int:
    """Show what speaks for a class of your choice, given by name or index, whatever the model predicts.

    Each class gets class_analysis_<class>.json (its rank among all classes, its score, its map in numbers and how far
    that map agrees with the map of the best class), gradcam_class_<class>.png and .npy.
    """
    from explain.export import class_files

    if not options.class_:
        raise ModelProblem("Which class? Name it: --class cat, or its index: --class 281.")
    console, colours = Console(options.json), options.colours()
    explainer, given = _loaded(console, options)

    def work(explanation: Explanation) -> tuple[dict[str, Any], Iterator[File]]:
        analyses = [class_files.class_analysis(explanation, i) for i in range(len(explanation.heatmaps))]
        for analysis in analyses:
            console.say(f"{explanation.image.name}, {explanation.model.id}: {analysis['headline']}")
        made = chain.from_iterable(
            class_files.of_class(explanation, i, analysis, colours) for i, analysis in enumerate(analyses)
        )
        return {"picture": explanation.image.name, "classes": analyses, "recipe": explanation.recipe}, made

    return Series(console, explainer, pictures, given, options.out, colours).run(work)


def _loaded(console: Console, options: ImageOptions | ClassOptions) -> tuple[Explainer, dict[str, Any]]:
    """Return the explainer, and its options checked, with the classes to explain as targets."""
    given = cli.engine_options(options)
    with console.progress(f"Loading {options.model}") as progress:
        explainer = load_explainer(options.model, options.device, progress, given)
    return explainer, given | cli.class_targets(options, explainer)
