"""Explain pictures into folders and report."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sightglass import explain
from sightglass.cli.options import check_options
from sightglass.common.errors import ImageProblem, Problem
from sightglass.explain import methods, phrases
from sightglass.explain.faithfulness import seal
from sightglass.explain.findings import diagnosis
from sightglass.explain.picture import image
from sightglass.export import animation, figure, result_folder, table
from sightglass.export.report import html as html_report
from sightglass.export.report import pdf as pdf_report
from sightglass.models import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.cli.console import Console, Progress
    from sightglass.common.files import Json
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.proof.seal import Seal
    from sightglass.explain.rendering.style import Style
    from sightglass.export.result_folder import File

    FindTargets = Callable[[Explanation], dict[str, Any]]
    """From the predictions for a picture, yet without maps, to the options that say what the maps show."""
    Work = Callable[[Explanation], tuple[Json, Iterator[File]]]
    """From an explanation to its summary for JSON, and its files."""

FORMATS = {
    "svg": "figure.svg",
    "pdf": "figure.pdf",
    "html": "report.html",
    "report": "report.pdf",
    "gif": "layers.gif",
    "mp4": "layers.mp4",
}
"""File name by format of `--also`."""
MAX_CELLS = 100
"""Pictures on the contact sheet of several."""
BY_BOXES = ("own box only", "shared", "others only", "outside")
"""Columns of where a map's evidence is, which sum to 100 %."""


def load_explainer(
    model: str, device: str, progress: Progress, options: dict[str, Any] | None = None, *, labels: Path | None = None
) -> Explainer:
    """Load a model, and check that it supports the options; a download is shown as progress.

    `labels`: a file of the names of the classes of a model's file.
    """
    if not catalog.is_file(model):
        catalog.spec(model)  # reports a typo before torch is imported
    explainer = explain.Explainer(model, labels=labels, device=device, progress=progress)
    check_options(explainer, options or {})
    return explainer


def open_picture(typed: str, console: Console) -> Image:
    """Open the picture that an argument names: a file, or an example that comes with the project, which is said.

    `A + B` is two pictures side by side. Raises ImageProblem; Problem for an argument that is no picture, but a model's
    file or a configuration.
    """
    if (two := image.split_name(typed)) is not None:
        return image.join_pictures(*(open_picture(one, console) for one in two))
    if image.example_meant(typed) is not None:
        console.warn(f"There is no {typed} in this folder: the example of that name is used.")
    _check_kind(typed)
    return image.Image.open(typed)


def _check_kind(typed: str) -> None:
    """Raise Problem for the arguments that other programs take beside pictures."""
    suffix = typed[typed.rfind(".") :].lower() if "." in typed else ""
    if suffix in (".py", ".yaml", ".yml", ".json", ".toml", ".cfg"):
        raise Problem(
            f"{typed} is a configuration, and none is needed: name the model by its file or its id, as in -m model.pt."
        )
    if suffix in catalog.SUFFIXES:
        raise Problem(f"{typed} is a model: give it with -m, as in -m {typed}.")


@dataclass
class Series:
    """Pictures to explain with one model and the same options."""

    console: Console
    explainer: Explainer
    pictures: Sequence[str]
    options: dict[str, Any]
    out: Path | None
    style: Style
    seal: bool = False
    _results: list[Json] = field(default_factory=list, init=False)
    _failed: list[dict[str, str]] = field(default_factory=list, init=False)
    _cells: list[tuple[NDArray[np.uint8], str]] = field(default_factory=list, init=False)

    def run(self, work: Work, find_targets: FindTargets | None = None) -> int:
        """Explain every picture into its folder and return the exit code; a picture that fails is reported and skipped.

        `find_targets` is for targets that depend on the predictions.
        """
        if self.explainer.resident.adapter.inputs and len(self.pictures) == 2:
            # Two pictures are one question to a model that takes two.
            self.pictures = (image.AND.join(self.pictures),)
        for picture in self.pictures:
            _check_kind(picture)
        names = [_name_folder(picture) for picture in self.pictures]
        folders = result_folder.places(names, self.out)
        result_folder.check(folders[0])
        with self.console.progress("Explaining") as bar:
            for number, (picture, folder) in enumerate(zip(self.pictures, folders, strict=True)):
                share = number / len(self.pictures)
                bar(share if number else -1, picture)

                def update(part: float, words: str, picture: str = picture, share: float = share) -> None:
                    bar(share + part / len(self.pictures), f"{picture}: {words}")

                try:
                    self._explain(picture, folder, work, find_targets, update)
                except (ImageProblem, MemoryError) as error:
                    sentence = str(error) or f"{picture} does not fit in memory; give a smaller picture."
                    self.console.warn(sentence)
                    self._failed.append({"picture": picture, "error": sentence})
        parent = folders[0].parent
        written = result_folder.write(parent, result_folder.of_many(self._cells)) if self._cells else []
        sheets = [parent / name for name in written]
        self.console.say(*map(str, sheets))
        self.console.result({"results": self._results, "failed": self._failed, "sheets": sheets})
        return 1 if self._failed else 0

    def _explain(
        self, picture: str, folder: Path, work: Work, find_targets: FindTargets | None, progress: Progress
    ) -> None:
        image, options = open_picture(picture, self.console), self.options
        found = None
        if find_targets is not None:
            found = self.explainer(image, maps=False, **options)
            options = options | find_targets(found)
        parts = 2 if self.seal else 1
        explanation = self.explainer(image, progress=lambda share, words: progress(share / parts, words), **options)
        if self.seal:
            seal.seal_maps(explanation, progress=lambda share, words: progress((1 + share) / 2, words))
        if found is not None:
            took = found.milliseconds | {"maps": explanation.milliseconds["maps"]}
            explanation = replace(explanation, milliseconds=took)
        summary, made = work(explanation)
        names = result_folder.write(folder, made)
        self.console.files(folder, names)
        self._results.append(summary | {"folder": folder, "files": names})
        if len(self.pictures) > 1 and len(self._cells) < MAX_CELLS:
            self._cells.append(result_folder.thumbnail(explanation, self.style))


def _name_folder(picture: str) -> str:
    """Return the name of a picture without its folders; of two both, as `before_and_after.png`."""
    first, *second = (one.replace("\\", "/").rsplit("/", 1)[-1] for one in image.split_name(picture) or (picture,))
    return f"{first.rsplit('.', 1)[0]}_and_{second[0]}" if second else first


def report(console: Console, explanation: Explanation, style: Style) -> None:
    """Print one explanation for a reader: the headline, the numbers of its maps, their seals, and its findings."""
    first = next(iter(explanation.heatmaps), None)
    name = methods.METHODS[first.method].name_for(explanation.model.task) if first else ""
    by = f", {name} at {', '.join(first.layers)}" if first else ""
    title, task = diagnosis.headline(explanation, style.hot), explanation.task
    console.say(f"{explanation.image.name}: {explanation.model.id}{by}", phrases.plain_text(title))

    rows = [
        (
            f"{row['label']} {task.number(explanation, row['map'])}".strip(),
            "–" if row["score"] is None else task.short_text(row["score"], explanation.model.unit_of(row["label"])),
            phrases.percent(row["half_heat_area"]) if row["state"] == "ok" else "–",
            f"{row['peak_x']:.0f}, {row['peak_y']:.0f}" if row["state"] == "ok" else row["state"],
            *(_by_boxes(explanation, row["map"]) or [""] * len(BY_BOXES)),
        )
        for row in table.rows(explanation)
    ]
    columns = ("map of", task.value, "half of it on", "hottest at", *BY_BOXES)
    count = len(columns) if any(row[-1] for row in rows) else len(columns) - len(BY_BOXES)
    console.table(columns[:count], [row[:count] for row in rows], right=columns[1:])
    for index in range(len(explanation.heatmaps)):
        console.say(*describe_seal(explanation.known_seal(index)))
    # Without a map of any box that a detector shows, its strongest candidates are reported instead.
    for finding in explanation.diagnosis if rows or not explanation.predictions else ():
        if finding.text != title:
            console.say(f"{finding.level}: {phrases.plain_text(finding.text)}")


def describe_seal(found: Seal | None, begin: str = "") -> list[str]:
    """Return a seal in one line, and a sentence for each of its marks that is not a yes; none without a seal.

    `begin`: what the line says before the map's name.
    """
    if found is None:
        return []
    others = [phrases.plain_text(mark.sentence) for mark in found.marks if mark.answer != "yes"]
    return [f"{begin}{found.label}: {found.line}", *others]


def _by_boxes(explanation: Explanation, index: int) -> list[str]:
    """Return a map's shares of evidence in the order of BY_BOXES; none without a box."""
    numbers = explanation.box_numbers(index)
    return [] if numbers is None else [f"{share} %" for share in numbers.printed.values()]


def parse_formats(texts: Sequence[str] | None) -> tuple[str, ...]:
    """Return formats given as `["svg,pdf", "html"]`, each once; raise Problem for an unknown one."""
    found = tuple(
        dict.fromkeys(name.strip().lower() for text in texts or () for name in text.split(",") if name.strip())
    )
    if unknown := [name for name in found if name not in FORMATS]:
        raise Problem(f"--also does not know {unknown[0]}: use {', '.join(FORMATS)}.")
    return found


def extra_files(explanation: Explanation, formats: Sequence[str], style: Style) -> Iterator[File]:
    """Yield the best map as figures, reports and animations over the layers; nothing without a map."""
    colormap, alpha = style.colormap, style.alpha
    makers: dict[str, Callable[[], bytes]] = {
        "svg": lambda: figure.figure(explanation, format="svg", colormap=colormap, alpha=alpha),
        "pdf": lambda: figure.figure(explanation, format="pdf", colormap=colormap, alpha=alpha),
        "html": lambda: html_report.html([explanation]).encode(),
        "report": lambda: pdf_report.pdf(explanation, colormap=colormap),
        "gif": lambda: animation.sweep(explanation, format="gif", colormap=colormap),
        "mp4": lambda: animation.sweep(explanation, format="mp4", colormap=colormap),
    }
    yield from ((FORMATS[name], makers[name]()) for name in formats if explanation.heatmaps)
