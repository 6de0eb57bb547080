"""`prove`: hide and keep what a map shows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.pictures import extra_files, load_explainer, open_picture
from sightglass.common.errors import Problem
from sightglass.explain import phrases
from sightglass.explain.rendering import style
from sightglass.explain.tasks import task_of
from sightglass.explain.trust import proof as measures
from sightglass.report import formats as report_formats
from sightglass.report import proof_files, result_folder

if TYPE_CHECKING:
    from sightglass.cli.console import Progress
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image

FILLINGS = ("blur", "mean")


@dataclass(frozen=True, kw_only=True)
class ProveOptions(cli.ModelOptions):
    class_: str | None = cli.field("--class --target -c NAME", "Prove the map of this class, not the best.", cli.MAP)
    map: int | None = cli.field("--map N", "Prove the map of answer or box N, counted from 1.", cli.MAP, min=1)
    steps: int | None = cli.field("--steps N", "Shares that are hidden and kept, 2 to 100 [20].", cli.OUT)
    filling: list[str] | None = cli.field("--filling NAME", "What hides: blur, mean or linear [blur, mean].", cli.OUT)
    also: list[str] | None = cli.field(*cli.ALSO)
    out: Path | None = cli.field(*cli.FOLDER)
    json: cli.Json = False


@cli.verb(
    cli.app,
    "prove",
    """
    sightglass prove bus.jpg --class trolleybus --question why
    sightglass prove bus.jpg -m yolo11n --map 2 --steps 10 --also report
    """,
)
def prove(picture: cli.Picture, asked: cli.EngineOptions, options: ProveOptions) -> int:
    """Test a map by hiding, or keeping, what it shows, beside maps that know nothing.

    The folder gets proof.png with the curves, and proof.json, from which `replay` makes exactly the same curves.
    """
    console, formats = Console(options.json), cli.split_names(options.also, report_formats.ALSO)
    with console.progress(f"Loading {options.model}") as progress:
        image = open_picture(picture, console)
        (folder,) = result_folder.places([image.name], options.out)
        result_folder.check(folder)
        explanation = _explain(image, asked, options, progress)
        steps: dict[str, Any] = {} if options.steps is None else {"steps": options.steps}
        proof = explanation.prove(fillings=options.filling or FILLINGS, progress=progress, **steps)
        files = proof_files.files(explanation, 0, proof), extra_files(explanation, formats, style.VIEWER_STYLE)
        names = result_folder.write(folder, chain(*files))
    heatmap = explanation.heatmaps[0]
    console.say(
        f"{image.name}: {explanation.model.id}, the map of {heatmap.target.label}", phrases.plain_text(proof.sentence)
    )
    console.table(measures.COLUMNS, measures.rows(proof), right=measures.COLUMNS[1:])
    summary = proof_files.summary(explanation, 0, proof)
    console.say(*map(phrases.plain_text, measures.lines(proof)), *summary["findings"])
    console.files(folder, names)
    console.result(summary | {"folder": folder, "files": names})
    return 0


def _explain(image: Image, asked: cli.EngineOptions, options: ProveOptions, progress: Progress) -> Explanation:
    """Return an explanation with the one map to prove."""
    if options.map is not None and options.class_ is not None:
        raise Problem("--map is one answer, and --class one class: leave one of them out.")
    explainer = load_explainer(options.model, options.device, progress, asked)
    task = task_of(explainer.model)
    arguments = asked | task.single()
    if "confidence" in asked:
        task.check_idle(explainer.model.id, "--score-thr")
    if options.class_ is not None:
        labels = cli.known_labels(asked, explainer)
        (index,) = cli.class_indices([options.class_], labels)
        arguments["targets"] = (task.name_class(index, labels),)
    elif options.map is not None and options.map > 1:
        answers = explainer(image, maps=False, **arguments | {"top_k": options.map}).predictions
        arguments["targets"] = (task.pick(explainer.model.id, answers, options.map),)
    return explainer(image, progress=progress, **arguments)
