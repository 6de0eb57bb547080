"""Embed a recipe in a file's metadata.

PNG: an iTXt chunk `Sightglass`. JPG: EXIF UserComment. Each holds the same line of JSON, and can also hold the original
picture, in a private chunk `sgPc` or in APP15 segments: other programs ignore them, and do not save them.

Files are untrusted: Pillow reads only the metadata, and one line of JSON of bounded length is validated by a schema.
"""

from __future__ import annotations

import json
import struct
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Literal
from weakref import WeakKeyDictionary

from PIL import ExifTags
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngImageFile, putchunk
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from sightglass.common.errors import ImageProblem, ModelProblem
from sightglass.explain.options import OFFERED
from sightglass.explain.picture import bounds
from sightglass.explain.picture.image import Image, to_lossless
from sightglass.explain.picture.received import open_received
from sightglass.explain.recipe import FUNCTION_TARGET, Label, ProofSettings, Recipe, SavedChecks
from sightglass.models import catalog

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from sightglass.explain.result import Result
    from sightglass.explain.trust.checks import Checks
    from sightglass.explain.trust.proof import Proof

MAX_TEXT = 2**18
"""Maximum number of bytes of JSON that are read."""
MAX_PICTURE = 8 * 2**20
"""Maximum number of bytes of an embedded picture, where a larger one is left out, and of a JSON file."""
MAX_LOSSLESS = 4_000_000
"""Maximum number of pixels of a picture that is encoded without loss for that."""
_SEGMENT = 65_533
"""Maximum bytes of a JPEG segment, after the two of its length."""
_PNG, _KEY, _CHUNK = b"\x89PNG\r\n\x1a\n", b"Sightglass", b"sgPc"

_LOSSLESS: MutableMapping[Image, bytes] = WeakKeyDictionary()
"""Lossless files of pictures that are not JPEG, as encoding 3 million pixels takes half a second."""

Text = Annotated[str, StringConstraints(max_length=200)]


class ViewState(BaseModel):
    """The display settings of an explanation."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    index: int = Field(default=0, ge=0, le=9999)
    """Index among the recipe's targets."""
    label: Label | None = None
    """That target's class."""
    automatic: bool = False
    """Whether the layers are the model's own."""
    settings: dict[Text, bool | float | Text] = Field(default_factory=dict, max_length=40)
    """The viewer's settings by name: mode, colormap, alpha, ..."""


class Contents(BaseModel):
    """What is embedded in a file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sightglass: Literal[1] = 1
    recipe: Recipe
    view: ViewState = ViewState()
    picture: bytes = Field(default=b"", exclude=True)
    """The file of the original picture, if embedded; not to be trusted before its sha256 is checked."""


def view_of(explanation: Result, index: int, **settings: bool | float | str) -> ViewState:
    """Return the view of one map of an explanation, or of its picture without one, with these settings."""
    label = explanation.heatmaps[index].target.label[:200] if explanation.heatmaps else None
    return ViewState(index=index, label=label, automatic=not explanation.options.layers, settings=settings)


def write(data: bytes, recipe: Recipe, view: ViewState | None = None, *, picture: bytes = b"") -> bytes:
    """Return a PNG's or JPG's bytes with the recipe, pixels unchanged.

    `picture`: the file of the original picture from `encode`. A recipe too long for EXIF (64 kB) is left out of a JPG.
    Raises ImageProblem for another kind of file.

        data = write(to_png(result.overlay()), result.recipe)
        assert read(data) == result.recipe
    """
    contents = Contents(recipe=recipe, view=view or ViewState()).model_dump(mode="json")
    encoded = json.dumps(contents, separators=(",", ":")).encode("ascii")
    if data.startswith(_PNG):
        chunks = BytesIO()
        putchunk(chunks, b"iTXt", _KEY + b"\0\0\0\0\0" + encoded)
        if picture:
            putchunk(chunks, _CHUNK, picture)
        # The signature (8 bytes) and the chunk IHDR (25 bytes) come first.
        return data[:33] + chunks.getvalue() + data[33:]
    if data.startswith(b"\xff\xd8\xff"):
        start = 2
        # The segment of JFIF comes first.
        if data[2:4] == b"\xff\xe0":
            start += 2 + int.from_bytes(data[4:6], "big")
        return data[:start] + _exif(encoded) + _segments(picture) + data[start:]
    raise ImageProblem("Only PNG and JPG files can carry a recipe: choose one of these.")


def embed(
    data: bytes,
    explanation: Result,
    index: int,
    settings: Mapping[str, bool | float | str] | None = None,
    *,
    picture: bool = True,
) -> bytes:
    """Return a file with an explanation's recipe, the view of a map in the viewer's `settings`, and the `picture`."""
    view = view_of(explanation, index, **settings or {})
    return write(data, checked_recipe(explanation), view, picture=encode(explanation.image) if picture else b"")


def read(data: bytes) -> Recipe | None:
    """Return a file's embedded recipe, or None."""
    embedded = contents(data)
    return embedded.recipe if embedded is not None else None


def contents(data: bytes) -> Contents | None:
    """Return the contents of a file or recipe.json, or None; never raise."""
    try:
        if data.startswith(b"{"):
            document = json.loads(data) if len(data) <= MAX_PICTURE else {}
            return Contents(recipe=Recipe.model_validate(document.get("recipe", document)))
        line, picture = _read_parts(data)
        if not 0 < len(line) <= MAX_TEXT:
            return None
        return Contents.model_validate_json(line).model_copy(update={"picture": picture})
    except Exception:  # damaged data can raise anything
        return None


def encode(image: Image) -> bytes:
    """Return these pixels as a file to embed; empty if too large."""
    if image.jpeg:
        return image.jpeg if len(image.jpeg) <= MAX_PICTURE else b""
    if image.width * image.height > MAX_LOSSLESS:
        return b""
    if image not in _LOSSLESS:
        data, _ = to_lossless(image.pixels)
        _LOSSLESS[image] = data if len(data) <= MAX_PICTURE else b""
    return _LOSSLESS[image]


def original(embedded: Contents) -> Image | None:
    """Return the recipe's embedded picture, or None."""
    if not embedded.picture:
        return None
    try:
        image = open_received(embedded.picture, name=embedded.recipe.picture_name)
    except ImageProblem:
        return None
    return image if image.sha256 == embedded.recipe.picture_sha256 else None


def _read_parts(data: bytes) -> tuple[bytes, bytes]:
    """Return the line and the embedded picture of a PNG or JPG."""
    with bounds.open_file("PNG" if data.startswith(_PNG) else "JPEG", data, "the file") as file:
        if isinstance(file, PngImageFile):
            line = str(file.info.get(_KEY.decode(), "")).encode()
            pictures = [chunk[1] for chunk in file.private_chunks if chunk[0] == _CHUNK]
        else:
            comment = file.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
            line = comment.removeprefix(b"ASCII\0\0\0").rstrip(b"\0 ")
            segments = (body for name, body in getattr(file, "applist", ()) if name == "APP15")
            pictures = [body[len(_KEY) + 1 :] for body in segments if body.startswith(_KEY + b"\0")]
    picture = b"".join(pictures)
    return line, picture if len(picture) <= MAX_PICTURE else b""


def _exif(line: bytes) -> bytes:
    """Return an APP1 segment with the line; empty if too long."""
    exif = Pillow.Exif()
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.UserComment: b"ASCII\0\0\0" + line}
    body = exif.tobytes()
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body if len(body) <= _SEGMENT else b""


def _segments(picture: bytes) -> bytes:
    size = _SEGMENT - len(_KEY) - 1
    parts = [_KEY + b"\0" + picture[start : start + size] for start in range(0, len(picture), size)]
    return b"".join(b"\xff\xef" + struct.pack(">H", len(part) + 2) + part for part in parts)


def python_call(recipe: Recipe) -> str:
    """Return the call in Python that recomputes a recipe's maps, with all options that differ from their defaults.

    python_call(result.recipe)  # "Explainer('efficientnet-lite0')('bus.jpg', method='hirescam', …)"
    """
    options = {name: value for name, option in OFFERED.items() if (value := getattr(recipe, name)) != option.default}
    options |= {"part": recipe.part}  # its default differs by model
    if recipe.per == "picture":
        options.pop("targets", None)
    arguments = ", ".join(
        f"{name}={'function' if value == (FUNCTION_TARGET,) else repr(value)}" for name, value in options.items()
    )
    try:
        catalog.spec(recipe.model)
    except ModelProblem:
        return f"Explainer(model)({recipe.picture_name!r}, {arguments})  # model: your {recipe.model}"
    return f"Explainer({recipe.model!r})({recipe.picture_name!r}, {arguments})"


def list_checks(explanation: Result) -> list[Checks | None]:
    """Return each map's existing checks, or None."""
    return [explanation.known_checks(index) for index in range(len(explanation.heatmaps))]


def add_checks(recipe: Recipe, checks: Sequence[Checks | None]) -> Recipe:
    """Return a recipe with its maps' checks; `checks`: one entry for each map."""
    known = [{"index": index, "marks": entry.checks} for index, entry in enumerate(checks) if entry]
    saved = tuple(map(SavedChecks.model_validate, known))
    return recipe.model_copy(update={"checks": saved}) if saved else recipe


def checked_recipe(explanation: Result) -> Recipe:
    """Return an explanation's recipe with its checks, which `Result.recipe` leaves out."""
    return add_checks(explanation.recipe, list_checks(explanation))


def proved_recipe(explanation: Result, index: int, proof: Proof | None = None) -> Recipe:
    """Return an explanation's recipe with checks and one map's proof, by default its own."""
    proof, checked = proof or explanation.proofs.get(index), checked_recipe(explanation)
    if proof is None:
        return checked
    settings = ProofSettings(index=index, steps=proof.map.steps, fillings=proof.fillings)
    return checked.model_copy(update={"prove": settings})
