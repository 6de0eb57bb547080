"""Load models, open pictures and report explanations."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sightglass import explain
from sightglass.explain import methods, phrases, questions
from sightglass.explain.picture import image
from sightglass.explain.trust import diagnosis
from sightglass.models import catalog
from sightglass.report import offers, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sightglass.cli.console import Console
    from sightglass.common.work.progress import Progress
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.rendering.style import Style
    from sightglass.explain.trust.checks import Checks
    from sightglass.report.result_folder import File

EXAMPLE_USED = "There is no {} in this folder: the example of that name is used."


def load_explainer(
    model: str, device: str, progress: Progress, options: dict[str, Any] | None = None, *, labels: Path | None = None
) -> Explainer:
    """Load a model for these options, with a progress bar; `labels`: a file of class names."""
    if not catalog.is_file(model):
        catalog.spec(model)  # reports a typo before torch is imported
    explainer = explain.Explainer(model, labels=labels, device=device, progress=progress)
    if options and options.get("question"):
        questions.settings(explainer.loaded, options["question"])  # reports a model without gradients
    return explainer


def open_picture(typed: str, console: Console) -> Image:
    """Open an argument's picture: a file, or a bundled example. Raises ImageProblem."""
    if image.example_meant(typed) is not None:
        console.warn(EXAMPLE_USED.format(typed))
    return image.Image.open(typed)


def report(console: Console, explanation: Explanation, style: Style) -> None:
    """Print one explanation: headline, numbers, checks and findings."""
    first = next(iter(explanation.heatmaps), None)
    name = methods.METHODS[first.method].name_for(explanation.model.task) if first else ""
    by = f", {name} at {', '.join(first.layers)}" if first else ""
    title, wording = diagnosis.describe(explanation, style.hot).headline, explanation.task.wording
    console.say(f"{explanation.image.name}: {explanation.model.id}{by}", phrases.plain_text(title))

    rows = [
        (
            f"{row['label']} {wording.number(explanation, row['map'])}".strip(),
            "–" if row["score"] is None else wording.short_text(row["score"], explanation.model.unit_of(row["label"])),
            phrases.percent(row["half_heat_area"]) if row["state"] == "ok" else "–",
            f"{row['peak_x']:.0f}, {row['peak_y']:.0f}" if row["state"] == "ok" else row["state"],
        )
        for row in table.rows(explanation)
    ]
    columns: tuple[str, ...] = ("map of", explanation.task.value, "half of it on", "strongest at")
    ranks = explanation.ranks
    # Of the best answers the order of the rows says it.
    if explanation.options.targets and any(ranks):
        columns = (*columns, "rank")
    cells = [(*row, str(rank or "–"))[: len(columns)] for row, rank in zip(rows, ranks, strict=True)]
    console.table(columns, cells, right=columns[1:])
    for index in range(len(explanation.heatmaps)):
        console.say(*describe_checks(explanation.known_checks(index)))
    # Without a map of any box that a detector shows, its strongest candidates are reported instead.
    for finding in explanation.diagnosis if rows or not explanation.predictions else ():
        if finding.text != title:
            console.say(f"{finding.level}: {phrases.plain_text(finding.text)}")


def describe_checks(checks: Checks | None, begin: str = "") -> list[str]:
    """Return a map's checks as lines; none without checks; `begin`: of the first line."""
    if checks is None:
        return []
    others = [phrases.plain_text(mark.sentence) for mark in checks.checks if mark.state != "yes"]
    return [f"{begin}{checks.label}: {checks.line}", *others]


def extra_files(explanation: Explanation, formats: Sequence[str], style: Style) -> Iterator[File]:
    """Yield the best map as figures and reports."""
    for format in (offers.ALSO[name] for name in formats if explanation.heatmaps):
        yield format.file, format.make(explanation, 0, asdict(style))
