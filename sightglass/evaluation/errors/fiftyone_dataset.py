"""Turn a labelled run into a FiftyOne dataset: errors, slices, heatmaps."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import file_stem, write_file
from sightglass.evaluation import stored, tables
from sightglass.evaluation.errors.report import ErrorReport
from sightglass.explain.picture import source
from sightglass.explain.picture.image import to_png

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from sightglass.evaluation.evaluation import EvaluatedPicture, Evaluation
    from sightglass.models.geometry import Box

MEASURED = ("size", "crowding", "overlap", "on_object", "on_others", "on_border")
"""Columns of `tables.MEANINGS` that become attributes of an object, a box or a classified picture."""
SIDE = 320
"""Longer side of a heatmap's file in pixels."""
Attributes = dict[str, Any]


def to_fiftyone(
    run: Path | str, pictures: Any, name: str = "", *, heatmaps: Path | str | None = None, persistent: bool = False
) -> Any:
    """Return a labelled run as a `fiftyone.Dataset`, a sample a picture.

    `pictures`: where the run's pictures are, as `batch` was given them; of those that are not there is no sample.
    `name`: of the dataset; empty: that of the run's folder. `heatmaps`: the folder that their files are written to, as
    long as they are shown; None: `fiftyone` in the run's folder. `persistent`: keep the dataset in FiftyOne's database.

    A sample has `ground_truth` and `predictions`, `errors` (their number), `slices` (groups with more errors that it is
    part of), `heatmap`, `folder`, `brightness` and `sharpness`. Objects and boxes have `error`: `right`, a type of
    `error_types.MEANINGS`, or `hidden` of a box below the threshold; `missed`: why there is no right box; `slices`, and
    `MEASURED`.

    Raises Problem without FiftyOne, for a folder that is no labelled run, a name that is taken, and where none of the
    pictures is a file on this machine.

        dataset = to_fiftyone("run/", "photos/")
        dataset.filter_labels("ground_truth", fiftyone.ViewField("error") == "missed")
    """
    try:
        import fiftyone as fo  # type: ignore[import-not-found]
    except ImportError:
        raise Problem("FiftyOne is not installed: install the package fiftyone.") from None

    run = Path(run).expanduser()
    evaluation, name = stored.load(run), name or run.absolute().name
    files = {item.key: path for item in source.find(pictures) if isinstance(path := item.read(), Path)}
    shown = [one for one in evaluation.pictures if one.key in files]
    if not shown:
        raise Problem("None of the run's pictures is a file there: give the folder that the run was made from.")
    if fo.dataset_exists(name):
        raise Problem(f"FiftyOne has a dataset called {name}: give another name.")
    into = run / "fiftyone" if heatmaps is None else Path(heatmaps).expanduser()
    units = _describe_units(ErrorReport(evaluation))
    into.mkdir(parents=True, exist_ok=True)
    samples = []
    for number, one in enumerate(shown):
        fields: Attributes = {
            "ground_truth": _describe_truth(fo, one, units),
            "predictions": _describe_answers(fo, one, units, evaluation),
            **_describe_picture(one, units),
        }
        if (values := _join_maps(one, evaluation.threshold)) is not None:
            path = into.absolute() / f"{number:06}-{file_stem(Path(one.key).stem)}.png"
            write_file(path, to_png(_enlarge(values, one.size)))
            fields["heatmap"] = fo.Heatmap(map_path=str(path))
        samples.append(fo.Sample(filepath=str(files[one.key].absolute()), **fields))
    dataset = fo.Dataset(name=name, persistent=persistent)
    dataset.info = {
        "model": evaluation.name or evaluation.model,
        "task": evaluation.task,
        "threshold": evaluation.threshold,
        "unknown_labels": list(evaluation.unknown),
    }
    dataset.save()
    dataset.add_samples(samples, dynamic=True)
    return dataset


def _describe_units(report: ErrorReport) -> Mapping[tuple[str, str, int], Attributes]:
    """Return the attributes of each object, box and picture by its picture, kind and index; of right boxes too."""
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for one in report.slices.found:
        for row in one.rows.tolist():
            groups[row].append(one.words)
    found: dict[tuple[str, str, int], Attributes] = {}
    for label, row in zip(report.units.index, tables.list_rows(report.units), strict=True):
        about = {"error": row["type"], "slices": groups[label]}
        about |= {name: row[name] for name in ("missed", *MEASURED) if row[name] is not None}
        found[row["picture"], row["kind"], row["index"]] = about
        if row["kind"] == "object" and row["type"] == "right":
            found[row["picture"], "box", row["found"]] = about
    return found


def _describe_truth(fo: Any, one: EvaluatedPicture, units: Mapping[tuple[str, str, int], Attributes]) -> Any:
    if one.truth is not None:
        return fo.Classification(label=one.truth)
    objects = []
    for i, truth in enumerate(one.truths):
        about = {"iscrowd": True} if truth.crowd else units[one.key, "object", i]
        objects.append(fo.Detection(label=truth.label, bounding_box=_to_relative(truth.box, one.size), **about))
    return fo.Detections(detections=objects)


def _describe_answers(
    fo: Any, one: EvaluatedPicture, units: Mapping[tuple[str, str, int], Attributes], evaluation: Evaluation
) -> Any:
    if evaluation.task == "classify":
        about = units[one.key, "picture", 0]
        best = one.found[0] if one.found else None
        return None if best is None else fo.Classification(label=best.label, confidence=best.score, **about)
    boxes = []
    for i, answer in enumerate(one.found):
        if answer.box is None:
            continue
        # A box that is neither right nor wrong lies in a crowd.
        otherwise = "hidden" if answer.score < evaluation.threshold else "crowd"
        about = units.get((one.key, "box", i), {"error": otherwise})
        box = _to_relative(answer.box, one.size)
        boxes.append(fo.Detection(label=answer.label, bounding_box=box, confidence=answer.score, **about))
    return fo.Detections(detections=boxes)


def _describe_picture(one: EvaluatedPicture, units: Mapping[tuple[str, str, int], Attributes]) -> Attributes:
    counts = {"picture": 1, "object": len(one.truths), "box": len(one.found)}
    mine = [(kind, units.get((one.key, kind, i))) for kind, count in counts.items() for i in range(count)]
    known = [(kind, about) for kind, about in mine if about is not None]
    # An object with a wrong box on it is no second error.
    errors = [about["error"] for kind, about in known if kind != "object" or about["error"] == "missed"]
    return {
        "errors": sum(one != "right" for one in errors),
        "slices": sorted({group for _, about in known for group in about["slices"]}),
        "folder": one.folder,
        "brightness": one.brightness,
        "sharpness": one.sharpness,
    }


def _join_maps(one: EvaluatedPicture, threshold: float) -> NDArray[np.uint8] | None:
    """Return the strongest of the maps of the answers that are shown at each place; None without a map."""
    maps = [values for i, values in one.maps.items() if one.found[i].score >= threshold]
    return np.maximum.reduce(maps) if maps else None


def _enlarge(values: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    scale = SIDE / max(size)
    wide, high = (max(1, round(side * scale)) for side in size)
    return np.asarray(cv2.resize(values, (wide, high), interpolation=cv2.INTER_LINEAR), np.uint8)


def _to_relative(box: Box, size: tuple[int, int]) -> list[float]:
    """Return a box as left, top, width and height, 0..1 of the picture, cut at its edges."""

    def cut() -> Iterator[float]:
        for value, side in zip(box, (*size, *size), strict=True):
            yield min(1.0, max(0.0, value / side))

    x0, y0, x1, y1 = cut()
    return [x0, y0, x1 - x0, y1 - y0]
