"""Labelled drawn scenes with planted causes of errors.

Two hundred pictures whose errors have a cause that is known, because it was put there. Everything else about them is
easy for the demo models: large things apart from one another, of classes that even the smallest tells apart.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import data_folder, write_file
from sightglass.models.demo.scenes import Stamp, draw, paint_stamp, sample
from sightglass.models.demo.shapes import Thing

if TYPE_CHECKING:
    from sightglass.models.demo.scenes import DemoScene, Pixels, Spec

Cause = Literal["stamp", "unknown class", "occlusion", "tiny", "wrong labels", "blind"]
Task = Literal["detect", "classify"]
MEANINGS: Mapping[Cause, str] = MappingProxyType(
    {
        "stamp": "one camera prints a stamp on what it sees",
        "unknown class": "a class that the models have not learnt",
        "occlusion": "things half hidden by other things",
        "tiny": "things smaller than any in training",
        "wrong labels": "labels of another class, and things without one",
        "blind": "a mark that the small model does not see",
    }
)
OF_TASK: Mapping[Task, tuple[Cause, ...]] = MappingProxyType(
    {"detect": tuple(MEANINGS), "classify": ("stamp", "unknown class", "wrong labels", "blind")}
)
"""A picture of one thing shows neither neighbours nor boxes."""
DEFAULT: tuple[Cause, ...] = ("tiny", "blind", "wrong labels")
"""What the set has that the pages open on."""
EASY: Mapping[Task, tuple[str, ...]] = MappingProxyType(
    {
        "detect": ("ball-stripes", "ball-dots", "star", "gear"),
        "classify": ("ball-stripes", "ball-dots", "rod-cross"),
    }
)
"""Classes that every demo model tells apart."""
UNSEEN: Mapping[Task, str] = MappingProxyType({"detect": "rod-cross", "classify": "plate-square"})
"""The class whose mark the small demo model often misses, and the large one seldom."""
UNKNOWN = "coin"
"""The label of a ball without a texture, which no demo model has a class for."""
EXPECTED: Mapping[Task, Mapping[Cause, tuple[str, str]]] = MappingProxyType(
    {
        "detect": {
            "stamp": ("folder", "camera-2"),
            "unknown class": ("label", UNKNOWN),
            "occlusion": ("overlap", "covered"),
            "tiny": ("size", "small"),
            "blind": ("label", UNSEEN["detect"]),
        },
        "classify": {
            "stamp": ("folder", "camera-2"),
            "unknown class": ("label", UNKNOWN),
            "blind": ("label", UNSEEN["classify"]),
        },
    }
)
"""The slice that names a cause: its attribute and its group in `slices`. Wrong labels are in no slice."""
PICTURES = 200
SIDE: Mapping[Task, int] = MappingProxyType({"detect": 256, "classify": 192})
CAMERAS = ("camera-1", "camera-2")
LABELS: Mapping[Task, str] = MappingProxyType({"detect": "labels.json", "classify": "labels.csv"})
KEY = "answer-key.json"
VERSION = 1
"""To be raised with every change of what is drawn."""
_SHARE: Mapping[Cause, float] = MappingProxyType(
    {"stamp": 1.0, "unknown class": 0.2, "occlusion": 0.3, "tiny": 0.3, "wrong labels": 0.05, "blind": 0.25}
)
"""Of the things, those that a cause is planted in; of the stamp, of those of the second camera."""
_SECOND_CAMERA = 0.3
_LENGTH: Mapping[Task, tuple[float, float]] = MappingProxyType({"detect": (0.27, 0.36), "classify": (0.4, 0.55)})
_TINY, _BLIND = (0.1, 0.119), (0.22, 0.28)
"""Lengths of things, of the picture's side: below COCO's 32 pixels, and with a mark of a few of the model's pixels."""
_QUALITY = 90
_TRIES = 40


@dataclass(frozen=True, slots=True)
class KnownObject:
    """A thing of a picture and what was done to it."""

    file: str
    label: str
    """What it is."""
    given: str | None
    """What the labels say it is; None if they leave it out."""
    box: tuple[float, float, float, float]
    """xyxy in pixels, around what can be seen of it."""
    cause: Cause | None = None


@dataclass(frozen=True)
class AnswerKey:
    """What was planted where."""

    task: Task
    causes: tuple[Cause, ...]
    seed: int
    objects: tuple[KnownObject, ...] = field(repr=False)
    """Picture by picture."""

    @property
    def wrong_labels(self) -> tuple[KnownObject, ...]:
        """The things whose labels are wrong or left out."""
        return tuple(one for one in self.objects if one.given != one.label)


def open_set(causes: Sequence[Cause] = DEFAULT, seed: int = 0, *, task: Task = "detect") -> Path:
    """Return the folder of a set among this user's data, drawn on first use within seconds."""
    name = "-".join(["clean" if not causes else "", *(one.replace(" ", "-") for one in causes)]).strip("-")
    folder = data_folder("known-cause") / f"{task}-{name}-{seed}-v{VERSION}"
    if not (folder / KEY).is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
        try:
            make(draft, causes, seed, task=task)
            try:
                draft.rename(folder)
            except OSError:
                # Another process was first, or was stopped before its key was there.
                if not (folder / KEY).is_file():
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def make(
    folder: Path, causes: Sequence[Cause] = DEFAULT, seed: int = 0, *, task: Task = "detect", pictures: int = PICTURES
) -> AnswerKey:
    """Write pictures, their labels and the answer key into a folder; of the same arguments the same bytes.

    Labels are COCO's to detect, and a CSV of `file,label` to classify. No causes: a clean set. Raises Problem for a
    cause that there is not, or that the task cannot show.
    """
    causes = check(causes, task)
    objects: list[KnownObject] = []
    for number in range(pictures):
        file, pixels, found = draw_picture(number, causes, seed, task=task)
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        done, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        assert done
        write_file(path, data.tobytes())
        objects += found
    files = list(dict.fromkeys(one.file for one in objects))
    text = _to_coco(files, objects) if task == "detect" else _to_csv(objects)
    write_file(folder / LABELS[task], text.encode())
    key = AnswerKey(task, causes, seed, tuple(objects))
    write_file(folder / KEY, json.dumps(asdict(key)).encode())
    return key


def read_key(folder: Path) -> AnswerKey:
    """Return the answer key of a set; raise Problem where there is none."""
    try:
        table = json.loads((folder / KEY).read_bytes())
        objects = tuple(KnownObject(**{**one, "box": tuple(one["box"])}) for one in table["objects"])
        return AnswerKey(table["task"], tuple(table["causes"]), table["seed"], objects)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise Problem(f"{folder.name} has no answer key: delete the folder, and it is drawn again.") from problem


def check(causes: Sequence[Cause], task: Task) -> tuple[Cause, ...]:
    """Return causes in their order, each once; raise Problem for one that the task cannot show."""
    for one in causes:
        if one not in OF_TASK[task]:
            raise Problem(f"There is no cause {one!r} to {task}: choose of {', '.join(OF_TASK[task])}.")
    return tuple(one for one in OF_TASK[task] if one in causes)


def draw_picture(
    number: int, causes: Sequence[Cause], seed: int = 0, *, task: Task = "detect"
) -> tuple[str, Pixels, list[KnownObject]]:
    """Return one picture of a set: its file's name, its pixels (h, w, 3) RGB, and its things."""
    rng = np.random.default_rng([seed, number, list(OF_TASK).index(task)])
    second = bool(rng.random() < _SECOND_CAMERA)
    file = f"{CAMERAS[second]}/scene-{number:03}.jpg"
    spec, planted = _plan(rng, causes, task)
    scene = draw(spec)
    # A ball without a texture counts as no object, so it is drawn once more as one that has.
    labelled = tuple(_as_labelled(one) for one in spec.things)
    full = scene if labelled == spec.things else draw(replace(spec, things=labelled))
    pixels = scene.pixels
    found: list[KnownObject] = []
    for one in full.objects:
        cause = planted[one.thing]
        kind = spec.things[one.thing].kind
        label = kind if kind == one.label else UNKNOWN
        if "stamp" in causes and second:
            _cover(pixels, full, one.thing, rng)
            cause = "stamp"
        found.append(KnownObject(file, label, label, one.box, cause))
    if "wrong labels" in causes:
        found = [_mislabel(one, rng, task) for one in found]
    return file, pixels, found


def _plan(rng: np.random.Generator, causes: Sequence[Cause], task: Task) -> tuple[Spec, list[Cause | None]]:
    """Return a scene, and the cause that is planted in each of its things."""
    side = SIDE[task]
    spec = sample(int(rng.integers(2**31)), task=task, size=side, held_out=True)
    things: list[Thing] = []
    planted: list[Cause | None] = []
    planting: tuple[Cause, ...] = ("unknown class", "occlusion", "tiny", "blind")
    of_things = [one for one in planting if one in causes]
    shares = [_SHARE[one] for one in of_things]
    for _ in range(1 if task == "classify" else int(rng.integers(2, 5))):
        kind = str(rng.choice(EASY[task]))
        at = int(np.searchsorted(np.cumsum(shares), rng.random(), side="right"))
        cause = of_things[at] if at < len(of_things) else None
        usual = _LENGTH[task]
        lengths = {"tiny": _TINY, "blind": _BLIND if task == "detect" else usual}.get(cause or "", usual)
        length = float(rng.uniform(*lengths)) * side
        kind = {"unknown class": "ball", "blind": UNSEEN[task]}.get(cause or "", kind)
        thing = _place(kind, length, things, side, rng)
        if thing is None:
            continue
        things.append(thing)
        planted.append(cause)
        if cause == "occlusion":
            things.append(_hide(thing, side, rng))
            planted.append(None)
    return replace(spec, things=tuple(things), clutter=spec.clutter[:2], blur=0.0, stamp=None), planted


def _place(kind: str, length: float, things: Sequence[Thing], side: int, rng: np.random.Generator) -> Thing | None:
    """Return a thing inside the picture and apart from others; None where no room was found."""
    reach = length / 2 + 2
    for _ in range(_TRIES):
        x, y = rng.uniform(reach, side - reach, 2).tolist()
        if all(math.hypot(x - one.x, y - one.y) > 0.55 * (length + one.length) for one in things):
            return Thing(kind, x, y, length, float(rng.uniform(0, 2 * np.pi)), int(rng.integers(2**32)))
    return None


def _hide(thing: Thing, side: int, rng: np.random.Generator) -> Thing:
    """Return a thing that lies on another, aside from its middle towards the middle of the picture."""
    towards = math.atan2(side / 2 - thing.y, side / 2 - thing.x) + rng.uniform(-0.5, 0.5)
    by = 0.3 * thing.length
    x, y = thing.x + by * math.cos(towards), thing.y + by * math.sin(towards)
    kind = str(rng.choice([one for one in EASY["detect"] if one != thing.kind]))
    return Thing(kind, x, y, thing.length, float(rng.uniform(0, 2 * np.pi)), int(rng.integers(2**32)))


def _as_labelled(thing: Thing) -> Thing:
    return replace(thing, kind="ball-dots") if thing.kind == "ball" else thing


def _cover(pixels: Pixels, scene: DemoScene, number: int, rng: np.random.Generator) -> None:
    """Print a stamp on the middle of a thing, in place."""
    x0, y0, x1, y1 = next(one.box for one in scene.objects if one.thing == number)
    size = round(0.6 * max(x1 - x0, y1 - y0))
    height, width = pixels.shape[:2]
    x = min(max(round((x0 + x1 - size) / 2), 0), width - size)
    y = min(max(round((y0 + y1 - size) / 2), 0), height - size)
    paint_stamp(pixels, Stamp(x, y, size, int(rng.integers(2**32))))


def _mislabel(one: KnownObject, rng: np.random.Generator, task: Task) -> KnownObject:
    """Return a thing with a wrong label, or with none, as often as planted."""
    chance, kind = rng.random(2)
    if chance >= _SHARE["wrong labels"] or one.cause is not None:
        return one
    if task == "detect" and kind < 0.5:
        return replace(one, given=None, cause="wrong labels")
    given = str(rng.choice([label for label in EASY[task] if label != one.label]))
    return replace(one, given=given, cause="wrong labels")


def _to_coco(files: Sequence[str], objects: Sequence[KnownObject]) -> str:
    names = sorted({one.given for one in objects if one.given is not None})
    side = SIDE["detect"]
    images = [{"id": i, "file_name": file, "width": side, "height": side} for i, file in enumerate(files)]
    annotations: list[dict[str, object]] = []
    for one in objects:
        if one.given is None:
            continue
        x0, y0, x1, y1 = one.box
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": files.index(one.file),
                "category_id": names.index(one.given),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
            }
        )
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def _to_csv(objects: Sequence[KnownObject]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([("file", "label"), *((one.file, one.given) for one in objects)])
    return out.getvalue()
