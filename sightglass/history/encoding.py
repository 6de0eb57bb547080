"""Encode an explanation or a pair as a record and the files of its folder; read these again."""

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from sightglass.common.errors import ImageProblem, Problem, Unreadable
from sightglass.common.files import Json, npz_bytes, read_npz, to_json
from sightglass.common.files.keeping import reading
from sightglass.explain.explanation import Explanation
from sightglass.explain.maps.heatmap import Heatmap
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import without_emphasis
from sightglass.explain.picture.image import Image, to_jpeg, to_lossless, to_png
from sightglass.explain.recipe import versions
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import Style
from sightglass.explain.similarity.similarity import ComparedImage, Similarity
from sightglass.explain.tasks import task_of
from sightglass.explain.trust.diagnosis import describe, diagnose
from sightglass.explain.trust.proof import Curve, Proof, Support, Trace
from sightglass.history.records import RECORD, MapInfo, Record, SavedPair, to_text
from sightglass.models.adapter import Target
from sightglass.models.catalog import catalog
from sightglass.models.spec import ModelSpec
from sightglass.report import charts, embedded_recipe, similarity_files, views
from sightglass.report.embedded_recipe import list_checks, view_of
from sightglass.report.result_folder import MAPS, arrays, map_name
from sightglass.report.results import describe_similarity
from sightglass.report.view import Map, Picture, View

Arrays = dict[str, NDArray[Any]]
Files = dict[str, bytes]

SIDE = 320
"""Maximum length of a thumbnail's longer side, in pixels."""
OFF = "The history is switched off here: name a folder in SIGHTGLASS_HISTORY to use it."
DAMAGED = "This record is damaged: a file of it is gone, or has changed."
PUT_BACK = "put a copy of it back, or delete the record"
PAIR_FIELDS = ("method", "state", "preprocessing", "weights_sha256", "device", "automatic", "score")
"""Fields of a comparison that its record stores unchanged."""
HEATMAP_FIELDS = ("method", "layers", "geometry", "scale", "state", "ends", "signed")
"""Fields of a heatmap that its record stores unchanged; its arrays are in a file."""
PAIR_KEY = ("method", "preprocessing", "weights_sha256", "score")
"""Fields that must agree for two comparisons of the same pictures, model and layers to be the same."""
PAIR_HEIGHT = 160
"""Height of the two pictures of a thumbnail in pixels, before it is shrunk."""
SIDES = ("query", "gallery")


def encode(explanation: Explanation, index: int, look: Mapping[str, Any]) -> tuple[Record, Files]:
    """Return the record and the files of a finished explanation. Raises Problem."""
    if not explanation.finished:
        raise Problem("This map is not finished yet: wait until it is, then save it.")
    heatmaps, image = explanation.heatmaps, explanation.image
    if not 0 <= index < max(1, len(heatmaps)):
        raise Problem(f"There is no map {index}: this explanation has {len(heatmaps)}, counted from 0.")
    view, checks = view_of(explanation, index, **look), list_checks(explanation)
    style = Style.of(view.settings)
    description = describe(explanation, style.hot, index)
    record = Record(
        **_about(image, explanation.model),
        method=explanation.recipe.method,
        headline=description.headline,
        title=description.title,
        layers=explanation.recipe.layers,
        predictions=explanation.predictions,
        labels=tuple(heatmap.target.label for heatmap in heatmaps),
        index=index,
        score=explanation.task.wording.saved_score(explanation, index),
        findings=tuple(diagnose(explanation, index) if heatmaps else explanation.diagnosis),
        recipe=explanation.recipe,
        view=view,
        notes=explanation.notes,
        checks=tuple(checks) if any(checks) else (),
        maps=tuple(_describe_map(explanation, i) for i in range(len(heatmaps))),
    )
    # By their order: a map that was asked for may be of any rank.
    maps = arrays(explanation, [map_name(i, heatmap.target.label) for i, heatmap in enumerate(heatmaps, 1)])
    maps |= {f"measured {i}": heatmap.uncut.at_input for i, heatmap in enumerate(heatmaps) if heatmap.uncut is not None}
    preview = render.paint(image.pixels, heatmaps[index].field, style) if heatmaps else image.pixels
    proofs = {f"proof-{i}.json": to_json(asdict(proof), None).encode() for i, proof in explanation.proofs.items()}
    return record, proofs | _pack(maps, preview, picture=image)


def _describe_map(explanation: Explanation, index: int) -> MapInfo:
    heatmap = explanation.heatmaps[index]
    # As in the viewer's panel: the score of the class, whichever of its boxes is explained.
    label, score = explanation.task.wording.describe_saved(explanation, index)
    return MapInfo(
        label,
        score,
        **{name: getattr(heatmap, name) for name in HEATMAP_FIELDS},
        statistics=explanation.statistics[index],
        boxes=explanation.own(index),
        looks=describe(explanation, index=index).markdown(),
        unit=explanation.model.unit_of(heatmap.target.label) if heatmap.signed else "",
    )


def is_of(record: Record, view: Explanation | Similarity, index: int) -> bool:
    """Return whether a record is of this map or pair; the picture and the model are known to agree."""
    if not isinstance(view, Similarity):
        # Other names of classes, or other code, are in no recipe.
        return (record.recipe, record.index, record.predictions) == (view.recipe, index, view.predictions)
    if record.pair is None or (record.pair.sha256, record.layers) != (view.gallery.image.sha256, view.layers):
        return False
    return all(record.pair.how.get(name) == getattr(view, name) for name in PAIR_KEY)


def storable(text: str) -> str:
    """Return text in valid Unicode: undecodable parts of a file's name become question marks."""
    return text.encode("utf-8", "replace").decode()


def _about(image: Image, model: ModelSpec) -> Json:
    """Return the fields of a new record that its picture and model give."""
    about: Json = {"picture_name": storable(image.name), "picture_sha256": image.sha256}
    about |= {"width": image.width, "height": image.height, "model": model.id, "task": model.task}
    return {"id": secrets.token_hex(8), "created": datetime.now(UTC)} | about


def _pack(maps: Arrays, preview: NDArray[np.uint8], **pictures: Image) -> Files:
    """Return the files of maps, of the thumbnail, and of pictures by name: their own JPEG, else without loss."""
    files = {MAPS: npz_bytes(maps), "thumbnail.jpg": to_jpeg(Image(preview, "").thumbnail(SIDE), 80)}
    for stem, image in pictures.items():
        if image.planes is not None:
            files[f"{stem}.npz"] = npz_bytes({"pixels": image.pixels, "planes": image.planes})
        else:
            data, ending = (image.jpeg, "jpg") if image.jpeg else to_lossless(image.pixels)
            files[f"{stem}.{ending}"] = data
    return files


def encode_pair(similarity: Similarity) -> tuple[Record, Files]:
    """Return the record and the files of a comparison."""
    query, other = (side.image for side in similarity.sides)
    pair = SavedPair(
        name=storable(other.name),
        sha256=other.sha256,
        how={name: getattr(similarity, name) for name in PAIR_FIELDS} | {"versions": versions()},
        geometries=(similarity.query.geometry, similarity.gallery.geometry),
    )
    record = Record(
        **_about(query, similarity.model),
        method=similarity.method,
        headline=describe_similarity(similarity),
        layers=similarity.layers,
        labels=(query.name, other.name),
        score=similarity.score,
        notes=similarity.notes,
        pair=pair,
    )
    panels = similarity_files.draw_pair(similarity)
    sizes = [(max(1, round(PAIR_HEIGHT * panel.shape[1] / panel.shape[0])), PAIR_HEIGHT) for panel in panels]
    small = [cv2.resize(panel, size, interpolation=cv2.INTER_AREA) for panel, size in zip(panels, sizes, strict=True)]
    return record, _pack(similarity_files.arrays(similarity), np.hstack(small), picture=query, other=other)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Raise errors of files that are damaged or contradict each other as a Problem."""
    try:
        yield
    except Problem:
        raise
    except (OSError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError, RecursionError) as error:
        raise Problem(DAMAGED) from error


class RecordFiles:
    """Reads what a history has in the folder of each record, `records/ID`."""

    folder: Path | None

    @property
    def root(self) -> Path:
        """The folder; raises Problem where the history is switched off."""
        if self.folder is None:
            raise Problem(OFF)
        return self.folder

    def locate(self, id: str) -> Path:
        """Return the folder of a record's files."""
        return self.root / "records" / id

    @_reading()
    def read(self, record: Record, name: str) -> bytes:
        """Return a record's file by its name without an ending. Raises Unreadable."""
        with self._file(record, name) as data:
            return data

    @contextlib.contextmanager
    def _file(self, record: Record, name: str) -> Iterator[bytes]:
        """Yield the bytes of a record's file.

        Raises Unreadable for what fails while they are decoded.
        """
        folder = self.locate(record.id)
        path = next(folder.glob(f"{name}.*"), None)
        if path is None:
            raise Unreadable(f"{name} in {folder} is missing: {PUT_BACK}.")
        with reading(path, PUT_BACK):
            yield path.read_bytes()

    def _arrays(self, record: Record) -> Arrays:
        with self._file(record, "maps") as data:
            return read_npz(data)

    def thumbnail(self, record: Record) -> bytes:
        """Return the picture under the selected map: JPEG, at most 320 pixels a side."""
        return self.read(record, "thumbnail")

    @_reading()
    def picture(self, record: Record, *, other: bool = False) -> Image:
        """Return the picture, or the `other` of a pair, pixel for pixel; raise Problem for a damaged or lost file."""
        pair = record.pair if other else None
        name, sha256 = (pair.name, pair.sha256) if pair else (record.picture_name, record.picture_sha256)
        with self._file(record, "other" if other else "picture") as data:
            image = _decode(data, name)
            if image.sha256 != sha256:
                raise ValueError("another picture")
        return image

    @_reading()
    def heatmaps(self, record: Record) -> tuple[Heatmap, ...]:
        """Return all maps of a record, bit for bit, in order; raise Problem if one is damaged or gone."""
        if not record.maps:
            return ()
        saved, maps = self._arrays(record), list[Heatmap]()
        for i, (info, label) in enumerate(zip(record.maps, record.labels, strict=False)):
            target = record.recipe.targets[i] if record.recipe else -1
            anchors, index = ((target[0],), target[1]) if isinstance(target, tuple) else ((), target)
            name = map_name(i + 1, label)
            heatmap = Heatmap(
                target=Target(None if index < 0 else index, label, anchors),
                raw=tuple(array for key, array in saved.items() if key.startswith(f"{name}_raw_")),
                at_input=saved[name],
                **{field: getattr(info, field) for field in HEATMAP_FIELDS},
            )
            uncut = saved.get(f"measured {i}")
            maps.append(heatmap if uncut is None else replace(heatmap, uncut=replace(heatmap, at_input=uncut)))
        return tuple(maps)

    @_reading()
    def similarity(self, record: Record) -> Similarity:
        """Return the comparison of a pair as it was saved, bit for bit; raise Problem if a file is damaged or gone, or
        if the record is of one picture."""
        if (pair := record.pair) is None:
            raise Problem("This record is of one picture: there is nothing that it was compared with.")
        saved, sides = self._arrays(record), []
        for other, (name, geometry) in enumerate(zip(SIDES, pair.geometries, strict=True)):
            image, (left, top, right, bottom) = self.picture(record, other=bool(other)), geometry.content
            raw = tuple(saved[f"{name}_raw_{path}"] for path in record.layers)
            signed = saved[name][top:bottom, left:right]
            sides.append(ComparedImage(image, geometry, saved[f"{name}_vector"], raw, signed))
        # The model may have left the catalogue since.
        spec = ModelSpec(record.model, "", "", "", "", record.task, "")
        how = {name: pair.how[name] for name in PAIR_FIELDS}
        return Similarity(model=spec, query=sides[0], gallery=sides[1], layers=record.layers, notes=record.notes, **how)

    @_reading()
    def proof(self, record: Record, index: int) -> Proof | None:
        """Return the proof of a record's map, or None; raise Problem for a damaged one."""
        file = self.locate(record.id) / f"proof-{index}.json"
        if not file.exists():
            return None
        with reading(file, PUT_BACK):
            plain = json.loads(file.read_bytes(), object_hook=_read_curve)
            support = TypeAdapter(Support).validate_python(plain["support"])
            curves, fillings = tuple(plain["curves"]), tuple(plain["fillings"])
            return Proof(plain["label"], plain["part"], curves, fillings, plain["start"], support)

    def export_files(self, record: Record) -> dict[str, bytes]:
        """Return the readable files of a record that cannot be shown."""
        files: dict[str, bytes] = {}
        for path in sorted(self.locate(record.id).glob("*.*")):
            with contextlib.suppress(OSError):
                files[path.name] = path.read_bytes()
        return files

    @_reading()
    def export_record(self, record: Record) -> dict[str, bytes]:
        """Return the saved files, what is drawn of them, and the record as JSON; raise Problem for a damaged record."""
        if record.damaged:
            raise Problem(record.damaged)
        files: dict[str, bytes] = {}
        for path in sorted(self.locate(record.id).glob("*.*")):
            with reading(path, PUT_BACK):
                files[path.name] = path.read_bytes()
        for name in (RECORD, "thumbnail.jpg"):
            files.pop(name, None)
        if record.pair:
            files = {name.replace("picture", "query"): data for name, data in files.items()}
            files |= dict(similarity_files.pair_files(self.similarity(record)))
        elif record.maps:
            files["overlay.png"] = overlay(record, self.picture(record), self.heatmaps(record)[record.index])
        return files | {RECORD: to_text(replace(record, recipe=record.checked_recipe), indent=1).encode()}


def _decode(data: bytes, name: str) -> Image:
    """Return a saved picture; raise ValueError or KeyError for a damaged one."""
    if data.startswith(b"PK"):
        saved = read_npz(data)
        return Image(saved["pixels"], name, planes=saved["planes"])
    try:
        return Image.open(data, name=name)
    except ImageProblem as problem:
        raise ValueError(str(problem)) from problem


def _read_curve(plain: Json) -> Any:
    """Return a curve, or a trace, of its fields; any other object as it is."""
    if plain.keys() == set(Trace.__slots__):
        # null is NaN.
        return Trace(**{name: np.array(values, None if name == "stays" else float) for name, values in plain.items()})
    return Curve(**plain) if plain.keys() == set(Curve.__slots__) else plain


def overlay(record: Record, image: Image, heatmap: Heatmap) -> bytes:
    """Return the picture under the selected map as a PNG with the recipe."""
    pixels = render.paint(image.pixels, heatmap.field, Style.of(record.view.settings))
    view = record.view.model_copy(update={"index": record.index, "label": record.labels[record.index][:200]})
    if record.checked_recipe is None:
        raise Problem(DAMAGED)
    return embedded_recipe.write(to_png(pixels), record.checked_recipe, view, picture=embedded_recipe.encode(image))


@_reading()
def record_view(record: Record, image: Image, maps: Sequence[Heatmap], proof: Proof | None = None) -> View:
    """Return the view of a record of the history as it was saved; `proof`: of its selected map."""
    task, spec = task_of(record.task), catalog().get(record.model)
    info, mapped = None, None
    if record.index < len(maps):
        info, heatmap = record.maps[record.index], maps[record.index]
        score = views.as_share(info.score) if info.score is not None and task.sure else None
        ends, _ = views.describe_bar(heatmap, info.unit)
        mapped = Map(info.label[:200], heatmap.field, score, ends)
    picture = Picture.of(
        image,
        spec.name if spec else record.model,
        map=mapped,
        answers=views.list_answers(task, record.predictions),
        boxes=views.list_boxes(task, record.predictions, info.boxes if info else (), (record.width, record.height)),
    )
    rest = record.headline.removeprefix(record.title).removeprefix(".").strip()
    method = METHODS[record.method].name if record.method in METHODS else record.method
    return views.new_view(
        [picture],
        title=views.answer_title(task, record.predictions, record.title),
        sentence=proof.sentence if proof else without_emphasis((info.looks if info else "") or rest),
        charts=(charts.describe_proof(proof),) if proof else (),
        display=views.display_of(record.view.settings),
        made=" · ".join(filter(None, (picture.name, method))),
        day=record.created.date(),
    )
