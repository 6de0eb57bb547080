"""Choose the picture, and the second one of a model that takes two."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from PIL import Image as Pillow
from PIL import ImageOps

from sightglass.common.errors import ImageProblem, Problem
from sightglass.common.settings import MIB
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import pixels as size_in_pixels
from sightglass.explain.phrases import plural
from sightglass.explain.picture.image import Image
from sightglass.models import catalog
from sightglass.report import embedded_recipe
from sightglass.ui import picture_bar
from sightglass.ui.painter import drawing
from sightglass.ui.picture_bar import Bar, Thumb
from sightglass.ui.session import page, reopen, state, url_state
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.pictures.image_source import EXAMPLES, UPLOADS, OwnPicture, token
from sightglass.ui.session.state import upload_megabytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.report.embedded_recipe import Contents


THUMBNAIL = (104, 88)
"""Width and height in pixels, twice those on the page."""
_thumbnails: ByteCache[str] = ByteCache(8 * MIB, len)


def choose() -> Image:
    """Apply the bar's new actions and return the chosen picture."""
    _follow()
    state.of(image_source.Pictures).just_given = False
    reopen.go()
    image = state.of(state.Sidebar).picture = image_source.current()
    return image


def take_new_picture() -> Image | None:
    """Return the picture uploaded or drawn for this run, once."""
    _follow()
    return image_source.take_new_picture()


def bar(place: DeltaGenerator | None) -> None:
    """Draw the bar at the top; None: the page explains no picture."""
    pictures = state.of(image_source.Pictures)
    if place is None:
        picture_bar.draw(None, st.container())
        return
    chosen = image_source.current_id()
    image = state.of(state.Sidebar).picture
    content = Bar(
        items=_items(),
        chosen=chosen,
        name=image.name if image else chosen,
        size=size_in_pixels(image.width, image.height) if image else "",
        problem=pictures.problem or "",
        drawing=bool(url_state.memory("draw")),
    )
    picture_bar.draw(content, place)


def _items() -> tuple[Thumb, ...]:
    """Return the session's own pictures, the newest first, and the examples."""
    uploads = [(image, _small(image)) for image in reversed(image_source.own())]
    return (*(Thumb(token(image), image.name, small, own=True) for image, small in uploads if small), *_examples())


@st.cache_resource(show_spinner=False)
def _examples() -> tuple[Thumb, ...]:
    """Return the examples on this machine, each opened once."""
    names = [name for name in EXAMPLES if image_source.is_here(name)]
    return tuple(Thumb(name, name.capitalize(), _data_url(thumbnail_file(name).read_bytes())) for name in names)


def thumbnail_file(name: str) -> Path:
    """Return the path of an example's thumbnail."""
    return Path(picture_bar.__file__).with_name(f"{name.replace(' ', '-')}.webp")


def _small(image: OwnPicture) -> str:
    """Return a picture's thumbnail; empty once it is off the server."""
    if (url := _thumbnails.get(image.sha256)) is None:
        if (whole := UPLOADS.get(token(image))) is None:
            return ""
        url = _data_url(thumbnail(whole))
        _thumbnails.put(image.sha256, url)
    return url


def thumbnail(image: Image) -> bytes:
    """Return the middle of a picture as a WebP thumbnail."""
    fitted = ImageOps.fit(Pillow.fromarray(image.pixels), THUMBNAIL, Pillow.Resampling.BILINEAR)
    out = BytesIO()
    fitted.save(out, "WEBP", quality=60, method=0)
    return out.getvalue()


def _data_url(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


# A person's acts, before the page is drawn.


ACTS = ("choose", "remove", "restore", "draw", "refused", "dismiss")


def _follow() -> None:
    pictures, navigation = state.of(image_source.Pictures), state.of(state.Navigation)
    for act in picture_bar.acts():
        if act.kind not in ACTS:
            continue
        pictures.just_given = False
        if act.kind == "dismiss":
            pictures.problem = None
        elif act.kind == "refused":
            # Files too large for the browser to send.
            pictures.problem = _too_large(act.value) or pictures.problem
        elif act.kind == "draw":
            url_state.keep("draw", bool(act.value))
            if act.value and navigation.page != "explore":
                navigation.go_to = page.script("explore")
        elif act.kind == "restore" and isinstance(act.value, list):
            image_source.restore([key for key in act.value if isinstance(key, str)])
        elif act.kind == "remove" and isinstance(act.value, str):
            image_source.remove(act.value)
        elif act.kind == "choose" and isinstance(act.value, str) and not image_source.turn_back(act.value):
            pictures.problem = "This picture is no longer on the server: upload it again."
    # What was done before the files were given may come with the same request.
    if files := picture_bar.uploads():
        take(files)
    if (drawn := drawing.take_drawing()) is not None:
        image_source.replace_drawing(drawn[1], drawn[0])
        pictures.just_given = True


def _too_large(files: Any) -> str:
    """Return a sentence on files over the limit; empty for none."""
    limit = upload_megabytes()
    named = [(str(file.get("name"))[:80], file.get("size")) for file in files or () if isinstance(file, dict)]
    if not named:
        return ""
    name, size = named[0]
    others = f" and {plural(len(named) - 1, 'other file')}" if len(named) > 1 else ""
    problem = f" has {size / 1e6:,.0f} MB" if isinstance(size, (int, float)) and not others else " are too large"
    remedy = "choose a smaller picture, or save it as a JPEG first"
    if name.lower().endswith(".zip"):
        remedy = "pack the pictures into several smaller ones"
    return f"{name}{others}{problem}; the limit is {limit} MB a file: {remedy}."


def take(files: Iterable[tuple[str, bytes]]) -> None:
    """Decode files, choose the last valid one and report each error.

    A file that carries a recipe, or is one, is not a picture to explain: it opens the view it was made from.
    """
    pictures = state.of(image_source.Pictures)
    problems: list[str] = []
    for name, data in files:
        try:
            if (contents := embedded_recipe.contents(data)) is not None:
                _open_again(contents, name)
                continue
            image = Image.open(data, name=name)
        except Problem as problem:
            is_model = name.lower().endswith(catalog.SUFFIXES)
            problems.append(f"{name[:80]} is a model: drop it on the page Models." if is_model else str(problem))
            continue
        image_source.turn_to(image, data)
        pictures.just_given = True
    pictures.problem = " ".join(problems) or None


def _open_again(contents: Contents, name: str) -> None:
    """Open a file's view and its picture, embedded or known.

    Raises a Problem, and changes nothing, where the picture or the model is not here.
    """
    recipe, pictures = contents.recipe, state.of(image_source.Pictures)
    example = image_source.example_named(recipe.picture_name)
    if example is not None and image_source.example(example).sha256 != recipe.picture_sha256:
        example = None
    image = None if example else pictures.opened(recipe.picture_sha256) or embedded_recipe.original(contents)
    if example is None and image is None:
        raise ImageProblem(
            f"{name} was made from {recipe.picture_name}, which it does not carry: open that picture first, then this "
            "file again."
        )
    reopen.view(contents)
    if image is not None:
        image_source.turn_to(image)
    elif example is not None:
        image_source.turn_to_example(example)
    # More than the picture changes: the controls must be drawn first.
    pictures.just_given = False
