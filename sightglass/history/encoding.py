"""Encode an explanation as a record and the files of its folder, read these again, and export them."""

from __future__ import annotations

import io
import json
import secrets
import zipfile
import zlib
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from sightglass.common.errors import Problem
from sightglass.common.files import npz_bytes
from sightglass.explain.picture.image import Image, to_jpeg, to_lossless, to_png
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import Field, Style
from sightglass.explain.trust.diagnosis import describe, diagnose
from sightglass.explain.trust.proof import Curve, Proof, Support, Trace
from sightglass.history.marks import draw as draw_marks
from sightglass.history.records import MapInfo, Record, SavedMap, SavedProof
from sightglass.history.store import RECORD
from sightglass.report import embedded_recipe, proof_files, similarity_files
from sightglass.report.embedded_recipe import Look, list_checks, view_of
from sightglass.report.result_folder import MAPS, label_stem, named_arrays

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.trust.checks import Checks
    from sightglass.history.history import History
    from sightglass.models.geometry import Geometry

    Arrays = Mapping[str, NDArray[Any]]
    Files = dict[str, bytes]

SIDE = 320
"""Maximum length of a thumbnail's longer side, in pixels."""
DAMAGED = "This record is damaged, and not all of it can be shown."
DAMAGED_MAP = "A map of this record is damaged: its content has changed."
_SUPPORT = TypeAdapter(Support | None)


@cache
def _adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


def to_text(record: Record, indent: int | None = None) -> str:
    """Return a record as JSON in ASCII; numbers that are not finite stay."""
    return json.dumps(_adapter().dump_python(record, mode="json"), indent=indent)


def from_text(text: str) -> Record:
    """Return the record of `to_text`; raise ValueError for any other text."""
    return _adapter().validate_python(json.loads(text))


def encode(explanation: Explanation, index: int, look: Mapping[str, Any] | None, screen: str) -> tuple[Record, Files]:
    """Return the record and the files of a finished explanation. Raises Problem."""
    if not explanation.finished:
        raise Problem("This map is not finished yet: wait until it is, then save it.")
    heatmaps, image = explanation.heatmaps, explanation.image
    if index < 0 or index >= max(1, len(heatmaps)):
        raise Problem(f"There is no map {index}: this explanation has {len(heatmaps)}, counted from 0.")
    view = _view(explanation, index, look or {}, screen)
    style = Style.of(view.settings)
    description = describe(explanation, style.hot, index)
    proofs, files = encode_proofs(explanation.proofs)
    record = Record(
        **about_picture(image),
        model=explanation.model.id,
        task=explanation.model.task,
        method=explanation.recipe.method,
        headline=description.headline,
        title=description.title,
        layers=explanation.recipe.layers,
        predictions=explanation.predictions,
        labels=tuple(heatmap.target.label for heatmap in heatmaps),
        index=index,
        score=explanation.task.saved_score(explanation, index),
        statistics=explanation.statistics[index] if heatmaps else None,
        findings=tuple(diagnose(explanation, index) if heatmaps else explanation.diagnosis),
        recipe=explanation.recipe,
        view=view,
        notes=explanation.notes,
        screen=screen,
        proofs=proofs,
        seals=encode_checks(explanation),
        maps=tuple(_describe_map(explanation, place) for place in range(len(heatmaps))),
    )
    arrays = named_arrays((item.target.label, item.at_input, item.layers, item.raw) for item in heatmaps)
    for place, heatmap in enumerate(heatmaps):
        if len(heatmap.raw) > 1 and len(heatmaps) > 1:
            arrays[f"shared {place}"] = explanation.shared[place].at_input
        if heatmap.uncut is not None:
            arrays[f"measured {place}"] = heatmap.uncut.at_input
    drawn = image.pixels
    if heatmaps:
        drawn = render.paint(drawn, heatmaps[index].field, style)
    files |= {MAPS: npz_bytes(arrays)} | thumbnail(drawn) | picture_file("picture", image)
    return record, files


def storable(text: str) -> str:
    """Return text in valid Unicode: undecodable parts of a file's name become question marks."""
    return text.encode("utf-8", "replace").decode()


def about_picture(image: Image) -> Json:
    """Return the fields of a new record that its picture gives."""
    about = {
        "picture_name": storable(image.name),
        "picture_sha256": image.sha256,
        "width": image.width,
        "height": image.height,
    }
    return {"id": secrets.token_hex(8), "created": datetime.now(UTC)} | about


def encode_checks(explanation: Explanation) -> tuple[Checks | None, ...]:
    """Return each map's checks, or None; empty without any."""
    checks = list_checks(explanation)
    return tuple(checks) if any(checks) else ()


def _describe_map(explanation: Explanation, place: int) -> MapInfo:
    heatmap = explanation.heatmaps[place]
    # As in the viewer's panel: the score of the class, whichever of its boxes is explained.
    label, score = explanation.task.describe_saved(explanation, place)
    return MapInfo(
        label=label,
        score=score,
        ends=heatmap.ends,
        geometry=heatmap.geometry,
        method=heatmap.method,
        layers=heatmap.layers,
        scale=heatmap.scale,
        state=heatmap.state,
        statistics=explanation.statistics[place],
        boxes=explanation.own(place),
        looks=describe(explanation, index=place).markdown(),
        signed=heatmap.signed,
        unit=explanation.model.unit_of(heatmap.target.label) if heatmap.signed else "",
    )


def _view(explanation: Explanation, index: int, look: Mapping[str, Any], screen: str) -> Look:
    try:
        if explanation.heatmaps:
            view = view_of(explanation, index)
        else:
            view = Look(screen=explanation.task.screen, automatic=not explanation.options.layers)
        chosen = {"screen": screen} if screen in ("explore", "detect") else {}
        return Look.model_validate(view.model_dump() | chosen | {"settings": dict(look)})
    except ValidationError as error:
        raise Problem("`look` must be at most 40 settings of the viewer, by name.") from error


def thumbnail(pixels: NDArray[np.uint8]) -> Files:
    return {"thumbnail.jpg": to_jpeg(Image(pixels, "").thumbnail(SIDE), 80)}


def picture_file(stem: str, image: Image) -> Files:
    """Return the picture's own JPEG, else a lossless file."""
    if image.planes is not None:
        return {f"{stem}.npz": npz_bytes({"pixels": image.pixels, "planes": image.planes})}
    data, ending = (image.jpeg, "jpg") if image.jpeg else to_lossless(image.pixels)
    return {f"{stem}.{ending}": data}


def read_picture(data: bytes, name: str, sha256: str) -> Image:
    """Return the picture of `picture_file`. Raises Problem."""
    arrays = unpack(data) if data.startswith(b"PK") else {}
    image = Image(arrays["pixels"], name, planes=arrays["planes"]) if arrays else Image.open(data, name=name)
    if image.sha256 != sha256:
        raise Problem("The picture of this record is damaged: its content has changed.")
    return image


def unpack(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file. Raises Problem."""
    try:
        with np.load(io.BytesIO(data)) as arrays:
            return dict(arrays)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise Problem(DAMAGED_MAP) from error


def read_map(info: MapInfo, place: int, name: str, arrays: Arrays) -> SavedMap:
    """Return the map at `place`, of the target `name`, from a record's arrays. Raises Problem."""
    name = f"top{place + 1}_{label_stem(name)}"
    layers = tuple(array for key, array in arrays.items() if key.startswith(f"{name}_raw_"))
    try:
        values = content(info.geometry, arrays[name])
    except KeyError as error:
        raise Problem(DAMAGED_MAP) from error
    shared, measured = (
        content(info.geometry, arrays[key]) if key in arrays else None
        for key in (f"shared {place}", f"measured {place}")
    )
    measured = values if measured is None else measured
    return SavedMap(**vars(info), values=values, shared=shared, measured=measured, layer_maps=layers)


def content(geometry: Geometry, at_input: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the part of a map at the model's input that is picture."""
    left, top, right, bottom = geometry.content
    return at_input[top:bottom, left:right]


def encode_proofs(proofs: Mapping[int, Proof]) -> tuple[tuple[SavedProof, ...], Files]:
    """Return a record's proofs by map index, and their files."""
    saved, files = [], {}
    for index, proof in sorted(proofs.items()):
        applied = proof_files.settings(index, proof)
        saved.append(SavedProof(index, applied.steps, applied.fillings, proof.sentence))
        files[f"proof-{index}.json"] = json.dumps(asdict(proof), default=np.ndarray.tolist).encode()
    return tuple(saved), files


def read_proof(data: bytes) -> Proof:
    """Return the proof of a file of `encode_proofs`. Raises Problem."""
    try:
        plain = json.loads(data)
        # The earliest versions saved no verdict, and earlier ones a map of the next best class.
        support = _SUPPORT.validate_python(plain.get("support"))
        curves = tuple(_curve(curve) for curve in plain["curves"] if curve["name"] != "runner-up")
        return Proof(plain["label"], plain["part"], curves, tuple(plain["fillings"]), plain["start"], support)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Problem("The proof of this record is damaged: its content has changed.") from error


def _curve(plain: Json) -> Curve:
    ways = ({name: np.array(plain[way][name]) for name in Trace.__slots__} for way in ("deletion", "insertion"))
    deletion, insertion = (Trace(**way) for way in ways)
    return Curve(plain["name"], plain["number"], plain["filling"], deletion, insertion)


def export(history: History, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of `History.export`."""
    for number, record in enumerate(map(history.get, dict.fromkeys(ids)), 1):
        stem = label_stem(record.picture_name.rsplit(".", 1)[0])
        what = record.pair.name.rsplit(".", 1)[0] if record.pair else record.label or record.task
        try:
            files = dict(_files(history, record))
        except Problem as problem:
            # One damaged record must not stop the others.
            files = {"damaged.txt": f"{problem}\n".encode()}
        for name, data in files.items():
            yield f"{number:03}_{stem}_{label_stem(what)}/{name}", data


def _files(history: History, record: Record) -> Iterator[tuple[str, bytes]]:
    """Yield the saved files, what is drawn of them, and the record as JSON."""
    if record.damaged:
        raise Problem(record.damaged)
    for name, data in history.files(record).items():
        yield name.replace("picture", "query") if record.pair else name, data
    if record.pair:
        yield from similarity_files.of_similarity(history.similarity(record), record.pair.context)
    elif record.maps:
        picture, item = history.picture(record), history.heatmaps(record)[record.index]
        yield "overlay.png", _with_recipe(draw(picture, item, Style.of(record.view.settings)), record, picture)
        if record.marks:
            yield "marked.png", mark(record, picture, item, record.index)
    yield RECORD, to_text(replace(record, recipe=record.checked_recipe), indent=1).encode()


def mark(record: Record, image: Image, item: SavedMap, index: int) -> bytes:
    """Return the overlay with the record's marks, as a PNG."""
    pixels = draw_marks(draw(image, item, Style.of(record.view.settings)), record.marks)
    view = record.view.model_copy(update={"index": index, "label": item.label[:200]})
    return _with_recipe(pixels, replace(record, view=view), image)


def _with_recipe(pixels: NDArray[np.uint8], record: Record, image: Image) -> bytes:
    assert record.checked_recipe is not None
    original = embedded_recipe.encode(image)
    return embedded_recipe.write(to_png(pixels), record.checked_recipe, record.view, picture=original)


def draw(image: Image, item: SavedMap, style: Style) -> NDArray[np.uint8]:
    """Return the picture under a map, uint8 (H, W, 3)."""
    field = Field(item.values, item.extent, item.seen, item.kind, cells=item.cells)
    return render.paint(image.pixels, field, style)
