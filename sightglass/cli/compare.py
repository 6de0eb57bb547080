"""`compare`: several models on one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.pictures import describe_checks, load_explainer, open_picture
from sightglass.explain import phrases
from sightglass.explain.comparison import detections, models
from sightglass.explain.trust import checks
from sightglass.models import catalog
from sightglass.report import result_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.cli.console import Progress
    from sightglass.common.files import Json
    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.picture.image import Image


@dataclass(frozen=True, kw_only=True)
class CompareOptions(cli.OutputOptions, cli.SealOptions, cli.LoadOptions):
    model: list[str] | None = cli.field("--model -m ID", "Two or more; of one, all sizes of its family.", cli.MODEL)
    each_own: bool = cli.field("--each-own", "Explain each model's own answer.", cli.MAP, default=False)


@cli.verb(
    cli.app,
    "compare",
    """
    sightglass compare bus.jpg -m efficientnet-lite0 -m resnet50
    sightglass compare bus.jpg -m yolo11n -m yolo26n --class bus
    """,
)
def compare(picture: cli.Picture, asked: cli.EngineOptions, options: CompareOptions) -> int:
    """Explain one picture with several models: answers, times and the overlap of maps.

    The folder, explained/<picture>_compared by default, gets comparison.jpg, overlays, maps.npz and comparison.json.
    """
    console, style = Console(options.json), options.style()
    with console.progress("Loading") as progress:
        comparison = _compare(open_picture(picture, console), asked, options, progress)
        more: Json = {"mixed": comparison.mixed}
        name = comparison.explanations[0].image.name.rsplit(".", 1)[0]
        # Not the picture's own folder, whose maps.npz its recipe is held against.
        (folder,) = result_folder.places([f"{name}_compared"], options.out)
        written = result_folder.write(folder, result_folder.of_comparison(comparison, style, more))
    _report(console, comparison)
    console.files(folder, written)
    console.result(result_folder.comparison(comparison) | more | {"folder": folder, "files": written})
    return 0


def _compare(image: Image, asked: cli.EngineOptions, options: CompareOptions, progress: Progress) -> Comparison:
    """Explain a picture with each model and, with --seal, check the first map of each."""
    ids, names = catalog.choose_compared(options.model or ["efficientnet-lite0"])
    explanations, timings = [], []
    for i, name in enumerate(ids):
        progress(i / len(ids), name)
        explainer = load_explainer(name, options.device, progress, asked)
        explanations.append(explainer(image, **cli.with_classes(asked, explainer)))
        timings.append(models.measure(explanations[-1].evidence))
    if not ("targets" in asked or options.each_own):
        explanations = list(detections.same_target(explanations))
    for i, explanation in enumerate(explanations if options.seal else ()):

        def update(share: float, words: str, i: int = i) -> None:
            progress((i + share) / len(ids), f"{names[i]}: {words}")

        checks.check_maps(explanation, 1, progress=update)
    return models.Comparison(tuple(explanations), names, tuple(timings))


def _report(console: Console, comparison: Comparison) -> None:
    console.say(f"{comparison.explanations[0].image.name}: {comparison.verdict}")
    rows, ids = [], [explanation.model.id for explanation in comparison.explanations]
    # A row begins with the size that sentences and pictures call the model by, if any, and with its id.
    names: list[Sequence[str]] = [ids] if ids == [*comparison.names] else [comparison.names, ids]
    for i, explanation in enumerate(comparison.explanations):
        label, sure = result_folder.of_first(explanation)
        rows.append(
            (
                *(column[i] for column in names),
                label,
                sure or "–",
                phrases.milliseconds(comparison.timings[i].median),
                phrases.count(explanation.evidence.resident.parameters),
                comparison.overlap(0, i),
            )
        )
    columns = ("map of", "how sure", "one pass", "parameters", f"overlap with {comparison.names[0]}")
    console.table((*("size", "model")[-len(names) :], *columns), rows, right=columns[1:])
    for name, explanation in zip(comparison.names, comparison.explanations, strict=True):
        if explanation.heatmaps:
            console.say(*describe_checks(explanation.known_checks(0), f"{name}, "))
    console.say(" ".join(filter(None, (comparison.overlaps, comparison.mixed))))
