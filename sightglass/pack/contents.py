"""Fill an evidence pack from a labelled run: accuracy, errors, slices, limits."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow

from sightglass.batch import analysis, journal, proofs, records, seals
from sightglass.common.errors import Problem
from sightglass.evaluation import average_precision, calibration, intervals, label_errors, stored
from sightglass.evaluation.average_precision import Estimate
from sightglass.evaluation.error_types import ABOUT_COSTS
from sightglass.evaluation.errors.report import ErrorReport
from sightglass.evaluation.errors.tile import draw_tile
from sightglass.explain.phrases import percent, plain_text, plural
from sightglass.models import catalog
from sightglass.pack.document import Pack, PackChart, PackFigure, PackNumber, PackSection, PackTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from sightglass.common.files import Json
    from sightglass.evaluation.evaluation import Evaluation
    from sightglass.evaluation.slices import SliceReport
    from sightglass.models.spec import ModelSpec

FIGURES = 12
"""Errors that are shown, the surest first."""
LISTED = 12
"""Slices and confusions that are listed."""
SIDE = 480
"""Pixels of the longest side of an error's picture."""
VALIDATION, TESTS = "Annex IV 2(g)", "Annex IV 2(e)"
INTERPRETATION = "Article 13(3)(d)"
MAPPED = {
    VALIDATION: "validation and testing: the data used, and metrics of accuracy",
    TESTS: "human oversight: technical measures that help to interpret outputs",
    INTERPRETATION: "instructions for use: technical measures that help deployers to interpret outputs",
}
"""Items of the AI Act (Regulation (EU) 2024/1689) that a section may contribute to."""


def build(folder: Path, report: ErrorReport | None = None) -> Pack:
    """Return the evidence pack of a finished run with labels, by its folder.

    `report`: of the run's evaluation, where it is there already. Raises Problem where the folder holds no such run.
    """
    report = report or ErrorReport(stored.load(folder))
    evaluation = report.evaluation
    try:
        frame, settings = analysis.load(folder), journal.settings_of(folder)
    except OSError as error:
        raise Problem(f"{folder} holds no finished run: run `sightglass batch` with --labels into it.") from error
    sections = (
        _describe_model(evaluation, settings),
        _describe_data(report),
        _measure_accuracy(evaluation),
        _type_errors(report) if evaluation.task == "detect" else _count_confusions(report),
        _list_slices(report.slices),
        _describe_looks(report.units, frame),
        *_show_errors(folder, settings, frame, report),
        _state_limits(evaluation),
        _describe_environment(settings),
    )
    title = f"{evaluation.name or evaluation.model} on {plural(len(evaluation.pictures), 'labelled picture')}"
    return Pack(title, plain_text(f"{report.headline}."), (*sections, _map_to_act(sections)))


def _share(id: str, name: str, count: int, total: int) -> PackNumber:
    """Return a share with Wilson's interval; None of nothing."""
    if not total:
        return PackNumber(id, name, None, "cannot be told")
    low, high = intervals.wilson(count, total)
    words = plain_text(f"{percent(count / total)} [{percent(low)}, {percent(high)}], {count:,} of {total:,}")
    return PackNumber(id, name, count / total, words, low, high)


def _estimate(id: str, name: str, one: Estimate, *, points: bool = False) -> PackNumber:
    """Return a number with its interval, as a share, or in points of 100; None where nothing says anything."""
    if one.value != one.value:
        return PackNumber(id, name, None, "cannot be told")
    scale, form = (100, ".1f") if points else (1, ".3f")
    words = f"{scale * one.value:{form}} [{scale * one.low:{form}}, {scale * one.high:{form}}]"
    return PackNumber(id, name, one.value, words, one.low, one.high)


def _count(id: str, name: str, value: int) -> PackNumber:
    return PackNumber(id, name, value, f"{value:,}")


def _find_spec(model: str) -> ModelSpec | None:
    """Return the model's row of the catalogue; None where this machine has none."""
    try:
        return catalog.spec(model)
    except Problem:
        return None


def _describe_model(evaluation: Evaluation, settings: Json) -> PackSection:
    recipe, spec = settings["recipe"], _find_spec(evaluation.model)
    facts: list[tuple[str, str]] = [
        ("Model", evaluation.model),
        ("Task", "boxes with classes" if evaluation.task == "detect" else "one class of many"),
        ("Classes", f"{len(evaluation.classes):,}"),
        ("SHA-256 of the weights", recipe["weights_sha256"] or "unknown"),
        *_describe_preprocessing(recipe.get("prepared")),
        ("Maps", f"{recipe['method']} at {', '.join(recipe['layers']) or 'no layer'}"),
    ]
    if spec is not None:
        facts.insert(1, ("Licence", spec.licence))
    if evaluation.task == "detect":
        facts.append(("Boxes are shown from", plain_text(percent(evaluation.threshold))))
    table = PackTable("model", "The model", ("fact", "value"), tuple(facts))
    return PackSection("model", "The model", tables=(table,))


def _describe_preprocessing(prepared: Json | None) -> Iterator[tuple[str, str]]:
    """Yield how pictures are prepared, where a recipe says so."""
    if prepared:
        high, wide = prepared["size"]
        yield "Input", f"{wide} x {high} pixels, short side to {prepared['short_side']}, {prepared['interpolation']}"
        for name in ("mean", "std"):
            yield name.capitalize(), ", ".join(f"{one:g}" for one in prepared[name])


def _describe_data(report: ErrorReport) -> PackSection:
    evaluation, units = report.evaluation, report.units
    objects = units[units["kind"] != "box"]
    counts = objects.groupby("label", sort=True).agg(units=("label", "size"), pictures=("picture", "nunique"))
    rows = tuple((str(label), int(row.units), int(row.pictures)) for label, row in counts.iterrows())
    what = "labelled objects" if evaluation.task == "detect" else "labels"
    unknown = evaluation.unknown
    sentences = [
        f"{plural(len(evaluation.pictures), 'picture')} with {len(objects):,} {what} of {plural(len(rows), 'class')}."
    ]
    if unknown:
        named = ", ".join(unknown[:LISTED])
        sentences.append(f"The model has no class for {plural(len(unknown), 'label')}: {named}. These count as missed.")
    return PackSection(
        "data",
        "The data",
        tuple(sentences),
        (
            _count("data.pictures", "Labelled pictures", len(evaluation.pictures)),
            _count("data.objects", what.capitalize(), len(objects)),
            _count("data.classes", "Classes with labels", len(rows)),
        ),
        (PackTable("data-classes", "Labels of each class", ("class", what, "pictures"), rows),),
        contributes=(VALIDATION,),
    )


def _measure_accuracy(evaluation: Evaluation) -> PackSection:
    calibrated = calibration.measure(evaluation)
    rows: tuple[tuple[str | float | None, ...], ...]
    if evaluation.task == "detect":
        scores = average_precision.measure(evaluation.truths, evaluation.found)
        found = sum(len(one.right) for one in evaluation.matched)
        numbers = [
            _estimate("accuracy.ap", "AP (mean over IoU 0.5 to 0.95)", scores.ap, points=True),
            _estimate("accuracy.ap50", "AP at IoU 0.5", scores.ap50, points=True),
            _share("accuracy.found", "Objects found at the threshold", found, scores.objects),
        ]
        head = ("class", "AP", "low", "high")
        rows = tuple((name, one.value, one.low, one.high) for name, one in scores.by_class.items())
        about = "AP by class, with its 95 % interval over redrawn pictures."
    else:
        labelled = [one for one in evaluation.pictures if one.truth is not None]
        first = sum(bool(one.found) and one.found[0].label == one.truth for one in labelled)
        five = sum(any(answer.label == one.truth for answer in one.found[:5]) for one in labelled)
        numbers = [
            _share("accuracy.top1", "Right", first, len(labelled)),
            _share("accuracy.top5", "Among the best five", five, len(labelled)),
        ]
        head = ("class", "right", "low", "high")
        rows = tuple(_classify_rows(evaluation))
        about = "Share of each class that is right, with Wilson's 95 % interval."
    numbers.append(_estimate("accuracy.calibration", "Smooth calibration error (0 is best)", calibrated.error))
    return PackSection(
        "accuracy",
        "How accurate it is",
        (plain_text(calibrated.sentence),),
        tuple(numbers),
        (PackTable("accuracy-classes", "By class", head, rows, about),),
        contributes=(VALIDATION,),
    )


def _classify_rows(evaluation: Evaluation) -> Iterator[tuple[str, float, float, float]]:
    for name in sorted({one.truth for one in evaluation.pictures if one.truth is not None}):
        own = [one for one in evaluation.pictures if one.truth == name]
        right = sum(bool(one.found) and one.found[0].label == name for one in own)
        yield (name, right / len(own), *intervals.wilson(right, len(own)))


def _type_errors(report: ErrorReport) -> PackSection:
    types = report.types
    rows = tuple((one.name, one.count, 100 * (one.cost or 0.0), one.meaning) for one in types)
    why = tuple((one.name, one.count, one.meaning) for one in report.reasons)
    best = report.thresholds.find_best()
    return PackSection(
        "errors",
        "What goes wrong",
        tuple(map(plain_text, (report.counts, *((best.sentence,) if best else ())))),
        (),
        (
            PackTable(
                "errors-types",
                "Errors by type",
                ("type", "errors", "points of AP50", "meaning"),
                rows,
                "TIDE's six types at the threshold, and the points that mending all of one, and no other, would add. "
                f"{ABOUT_COSTS}",
            ),
            *(
                (PackTable("errors-missed", "Objects without a right box", ("reason", "objects", "meaning"), why),)
                * bool(why)
            ),
        ),
        (PackChart("errors", "Errors by type", "errors", tuple((one.name, float(one.count)) for one in types)),),
        contributes=(VALIDATION,),
    )


def _count_confusions(report: ErrorReport) -> PackSection:
    rows = tuple((one.name, one.count) for one in report.types)
    return PackSection(
        "errors",
        "What goes wrong",
        (),
        (_share("errors.wrong", "Wrong", len(report.errors), len(report.units)),),
        (PackTable("errors-confusions", "Classes that are confused", ("class and answer", "pictures"), rows),)
        if rows
        else (),
        (PackChart("errors", "Confusions", "pictures", tuple((name, float(count)) for name, count in rows)),)
        if rows
        else (),
        contributes=(VALIDATION,),
    )


def _list_slices(report: SliceReport) -> PackSection:
    rows = tuple(
        (one.words, one.count, one.rate.value, one.rest.value, one.difference.value, one.difference.low,
         one.difference.high, one.corrected)
        for one in (*report.found, *report.others)[:LISTED]
    )  # fmt: skip
    head = ("slice", "count", "error rate", "others", "difference", "low", "high", "corrected p")
    looked = len(report.found) + len(report.others)
    sentences = [plain_text(report.sentence), *(plain_text(one.sentence) for one in report.found[1:4])]
    return PackSection(
        "slices",
        "Where it goes wrong more often",
        tuple(sentences),
        (
            _count("slices.looked", "Groups that were looked at", looked),
            _count("slices.found", "Groups with clearly more errors", len(report.found)),
        ),
        (
            PackTable(
                "slices",
                "Groups, the largest difference first",
                head,
                rows,
                "Intervals of 95 % over pictures; p corrected for all groups after Benjamini and Hochberg.",
            ),
        )
        if rows
        else (),
        contributes=(VALIDATION,),
    )


def _describe_looks(units: pd.DataFrame, frame: pd.DataFrame) -> PackSection:
    """Say where the evidence lies, and what the tests of maps found."""
    mapped = units[units["on_border"].notna()]
    rows = tuple(
        (words, len(some), *(_mean(some[column]) for column in ("on_object", "on_others", "on_border")))
        for words, some in (("right answers", mapped[~mapped["wrong"]]), ("wrong answers", mapped[mapped["wrong"]]))
    )
    head = ("maps of", "count", "on the object", "on others", "on the outer tenth")
    sentences = ["A map says where the evidence lies. It is no proof that the model looked at the right thing."]
    numbers = [_count("looks.maps", "Answers with a map", len(mapped))]
    for about, id, name in (
        (seals.add_up(frame), "looks.sealed", "Maps that pass all three tests of the seal"),
        (proofs.add_up(frame), "looks.supported", "Maps that their proof supports"),
    ):
        if about is not None:
            numbers.append(_share(id, name, *about))
    if len(numbers) == 1:
        sentences.append("Whether these maps can be trusted was not tested: run the batch with --seal or --prove.")
    return PackSection(
        "looks",
        "Where it looked",
        tuple(sentences),
        tuple(numbers),
        (PackTable("looks", "Mean share of the evidence", head, rows),) if len(mapped) else (),
        contributes=(TESTS, INTERPRETATION),
    )


def _mean(values: pd.Series[float]) -> float | None:
    known = values.dropna()
    return float(known.mean()) if len(known) else None


def _show_errors(folder: Path, settings: Json, frame: pd.DataFrame, report: ErrorReport) -> Iterator[PackSection]:
    """Yield the surest errors as pictures, one a picture, where the files of the run are still there."""
    rows = {row["picture"]: row for row in frame.to_dict("records")}
    figures = []
    for error in report.errors.drop_duplicates("picture").to_dict("records"):
        row = rows.get(error["picture"])
        if row is None or not row["file"]:
            continue
        try:
            with Pillow.open(folder / row["file"]) as opened:
                pixels = np.asarray(opened.convert("RGB"))
        except OSError:
            continue
        unit = report.find_unit(error)
        buffer = io.BytesIO()
        # The run drew its map already.
        Pillow.fromarray(draw_tile(pixels, unit, (SIDE, SIDE), mapped=False)).save(buffer, "JPEG", quality=90)
        recipe = records.recipe(settings, row).model_dump(mode="json")
        caption = plain_text(f"{unit.words} ({unit.picture.key})")
        figures.append(PackFigure(unit.picture.key, caption, buffer.getvalue(), recipe))
        if len(figures) == FIGURES:
            break
    if figures:
        about = "The label's box is drawn through, the answer's is dashed."
        yield PackSection(
            "figures",
            "Errors to look at",
            ("The surest errors first, one a picture, each on the map of its run.", about)
            if report.evaluation.task == "detect"
            else ("The surest errors first, each on the map of its run.",),
            figures=tuple(figures),
            contributes=(TESTS,),
        )


def _state_limits(evaluation: Evaluation) -> PackSection:
    check = label_errors.check_labels(evaluation)
    change = label_errors.compare_headline(evaluation, check.likely)
    sentences = [
        "Every number is of these pictures: other cameras, places and times were not measured.",
        "Intervals say how numbers vary between sets of as many such pictures.",
        plain_text(change.sentence),
        "Leaving out what looks like an error raises a score in any case: look at these labels first.",
        "Labels were taken as given: a model trained on the same errors finds none of them.",
        "Maps of pictures show where evidence lies, and no cause.",
        "Robustness, fairness, security and drift were not measured here.",
    ]
    return PackSection(
        "limits",
        "Limits",
        tuple(sentences),
        (_count("limits.labels", "Labels that look wrong", len(check.likely)),),
        contributes=(VALIDATION, INTERPRETATION),
    )


def _describe_environment(settings: Json) -> PackSection:
    recipe = settings["recipe"]
    rows = tuple((name, str(version)) for name, version in recipe["versions"].items())
    return PackSection(
        "environment",
        "Made with",
        (f"The run was made on {recipe['device']}.", "Each figure's recipe is in the folder recipes."),
        tables=(PackTable("environment", "Versions", ("package", "version"), rows),),
    )


def _map_to_act(sections: Sequence[PackSection]) -> PackSection:
    rows = tuple(
        (item, about, ", ".join(one.title for one in sections if item in one.contributes))
        for item, about in MAPPED.items()
    )
    return PackSection(
        "act",
        "What this contributes to",
        (
            "Sections contribute to these items of Regulation (EU) 2024/1689.",
            "They make no system compliant: each item asks for more than is measured here.",
        ),
        tables=(PackTable("act", "The AI Act's documentation", ("item", "about", "sections"), rows),),
    )
