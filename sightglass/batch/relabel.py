"""Correct the labels of finished runs, whose answers stay, and write the corrected labels as files."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sightglass.batch import labels, table
from sightglass.batch.journal import writing
from sightglass.common.files import Json, to_json
from sightglass.common.files.locking import file_lock
from sightglass.evaluation import label_changes, stored
from sightglass.evaluation.kinds import kind_of, place_boxes
from sightglass.evaluation.label_changes import LabelChange
from sightglass.evaluation.stored import EvaluatedPicture
from sightglass.report.table import csv


def change_label(folders: Iterable[Path], change: LabelChange | None) -> None:
    """Change a label of runs over the same pictures; None takes back the last change.

    Raises Problem, before any run is changed, for a file of changes that is damaged.
    """
    folders = sorted({*folders})
    with _locked(folders):
        for folder, changes in {folder: label_changes.read(folder) for folder in folders}.items():
            _write(folder, changes[:-1] if change is None else (*changes, change))


def share_changes(folders: Sequence[Path]) -> None:
    """Let runs over the same pictures, also before their start, have the changes of all. Raises Problem."""
    with _locked(sorted({*folders})):
        longest, *others = sorted(map(label_changes.read, folders), key=len, reverse=True)
        changes = [*longest, *dict.fromkeys(change for other in others for change in other if change not in longest)]
        for folder in folders if changes else ():
            _write(folder, changes)


@contextlib.contextmanager
def _locked(folders: Sequence[Path]) -> Iterator[None]:
    """Lock the changes of the runs that have begun; all lock in this order."""
    with contextlib.ExitStack() as stack:
        for folder in folders:
            if folder.is_dir():
                stack.enter_context(file_lock(folder / label_changes.FILE))
        yield


def _write(folder: Path, changes: Iterable[LabelChange]) -> None:
    with writing(folder):
        label_changes.write(folder, changes)
        # Before its end a run has no evaluation.
        if (folder / stored.FILE).is_file():
            labels.write_summary(folder)


def export_labels(folder: Path) -> str:
    """Return the corrected labels of a run's pictures: COCO for boxes, a table for classes.

    Labels keep their names; an added one has the name of the others of its class.
    """
    scores, truth = table.read_scores(folder), labels.find_labels(folder)
    matched = labels.match_names(truth, scores.classes, labels.corrections(folder))
    names = {name: str(index) for index, name in enumerate(scores.classes) if truth.indexed}
    names |= {classes[0]: label for label, classes in matched.classes_by_label.items() if len(classes) == 1}
    pictures, originals = list[EvaluatedPicture](), dict[int, str]()
    for row in table.read(folder).drop_duplicates("picture").to_dict("records"):
        key, size = row["picture"], (row["width"], row["height"])
        boxes, found = (place_boxes(each.find(key) or (), size) for each in (matched, truth))
        originals |= {id(box): other.label for box, other in zip(boxes, found, strict=True)}
        pictures.append(EvaluatedPicture(key, size, boxes, truth.find_class(key)))
    changed, _ = label_changes.apply(folder, pictures, scores.classes)
    if not kind_of(scores.task).counts_objects:
        rows = [
            {"file": new.key, "label": new.truth if new.truth == old.truth else names.get(new.truth, new.truth)}
            for old, new in zip(pictures, changed, strict=True)
            if new.truth
        ]
        return csv(rows)
    images, annotations, ids = list[Json](), list[Json](), dict[str, int]()
    for picture in changed:
        if truth.find(picture.key) is None:
            continue
        wide, high = picture.size
        images.append({"id": len(images) + 1, "file_name": picture.key, "width": wide, "height": high})
        for box in picture.truths:
            number = ids.setdefault(originals.get(id(box)) or names.get(box.label, box.label), len(ids) + 1)
            x0, y0, x1, y1 = box.box
            about: Json = {"id": len(annotations) + 1, "image_id": len(images), "category_id": number}
            about |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
            annotations.append(about | {"iscrowd": int(box.crowd), "ignore": int(box.ignored)})
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    return to_json({"images": images, "annotations": annotations, "categories": categories}, ensure_ascii=False)
