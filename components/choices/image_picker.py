"""Draw the picture's place in the sidebar: its thumbnail, its name, and every way to change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import ImageProblem, Problem
from components import canvas
from components.dropzone import take_files
from components.session import image_source, page, reopen, state, url_state
from components.session.image_source import EXAMPLES, FIRST
from components.session.markdown import escaped, shortened
from explain.phrases import pixels
from explain.picture.image import Image

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from explain.export.embedded_recipe import Contents


def choose() -> Image:
    """Draw the picture's place at the top of the sidebar, and return the chosen picture."""
    url_state.recall("example", EXAMPLES, FIRST, name="example")
    take_files(take, key="intake")
    reopen.go()
    _take_drawing()
    pictures = state.of(image_source.Pictures)
    pictures.just_given = False
    url_state.recall("picture", pictures.own, None)
    with st.container(horizontal=True, wrap=False, vertical_alignment="center"):
        thumbnail, beside = st.container(width=72), st.container(width=118, gap="xxsmall")
    with beside:
        title = st.empty()
        with st.popover("Change", icon=":material/swap_horiz:", width="stretch", help="Choose another picture."):
            _ways(pictures.own)
    image = state.of(state.Sidebar).picture = image_source.current()
    small = state.latest("thumbnail", image.sha256, lambda: _thumbnail(image))
    thumbnail.image(small, width=72, alt=f"The chosen picture, {image.name}")
    title.markdown(f"**{escaped(shortened(image.name, 16, 5))}**  \n:small[{pixels(image.width, image.height)}]")
    if pictures.problem:
        st.error(pictures.problem, icon=":material/error:")
    return image


def just_given() -> Image | None:
    """Return the picture that was just uploaded or drawn, once, if it is the reason for this run."""
    _take_drawing()
    return image_source.just_given()


def _thumbnail(image: Image) -> NDArray[np.uint8]:
    """A small picture that is neither so tall nor so low that it breaks the sidebar."""
    small = image.thumbnail(160)
    # A very tall picture would push everything else off the page.
    small = small[: max(1, round(1.4 * small.shape[1]))]
    # A very wide one would be less than a pixel high at its width here.
    rows = -(-small.shape[1] // 72)
    return small.repeat(-(-rows // small.shape[0]), axis=0)


def _ways(own: dict[str, Image]) -> None:
    about: dict[str, Any] = {
        "format_func": str.capitalize,
        "help": "Photographs that come with the installed packages, and drawn scenes for the demo models.",
    }
    if st.session_state.get("picture") in own:
        # None of them is selected, so that each can be.
        st.pills("Examples", list(EXAMPLES), key="example-instead", on_change=_instead, **about)
    else:
        st.pills("Examples", list(EXAMPLES), key="example", required=True, on_change=_to_example, **about)
    if own:
        st.selectbox(
            "Your pictures",
            [None, *own],
            format_func=lambda key: "none, an example" if key is None else own[key].name,
            key="picture",
            help="Pictures you gave in this session; they are deleted when it ends.",
        )
    key = f"upload-{state.of(image_source.Pictures).uploads}"
    st.file_uploader(
        "Upload one or several",
        accept_multiple_files=True,
        key=key,
        on_change=_uploaded,
        args=(key,),
        help="Or drop pictures anywhere on the page, or paste one with Ctrl+V. They stay on this machine.",
    )
    if st.toggle("Use the camera", help="Take a picture with this device's camera."):
        st.camera_input(
            "Take a picture",
            label_visibility="collapsed",
            key="camera",
            on_change=_photographed,
            help="The picture stays on this machine.",
        )
    url_state.widget(
        st.toggle,
        "Draw",
        (True, False),
        False,
        key="draw",
        on_change=_to_canvas,
        help="Draw on Explore; the drawing is explained as you draw.",
    )


# Callbacks run before the page is drawn, when the choice of picture may still be set.


def take(files: Iterable[tuple[str, bytes]]) -> None:
    """Decode files; the last valid one is chosen, and a sentence says what is wrong with each of the others.

    A file that carries a recipe is not a picture to explain: it opens the view it was made from.
    """
    from explain.export import embedded_recipe

    pictures = state.of(image_source.Pictures)
    problems: list[str] = []
    for name, data in files:
        try:
            if (contents := embedded_recipe.contents(data)) is not None:
                _choose_original(contents, name)
                reopen.view(contents)
                continue
            image = Image.open(data, name=name)
        except Problem as problem:
            problems.append(str(problem))
            continue
        image_source.turn_to(image)
        pictures.just_given = True
    pictures.problem = " ".join(problems) or None


def _take_drawing() -> None:
    """Choose a drawing that came in just now."""
    if (found := canvas.take_drawing()) is not None:
        image, before = found
        pictures = state.of(image_source.Pictures)
        # A drawing is one picture of the session, not one for each stroke.
        pictures.own.pop(before or "", None)
        image_source.turn_to(image)
        pictures.just_given = True


def _to_canvas() -> None:
    navigation = state.of(state.Navigation)
    if st.session_state.draw and navigation.page != "explore":
        url_state.keep("draw", True)
        navigation.go_to = page.script("explore")


def _choose_original(contents: Contents, name: str) -> None:
    """Choose the picture a file was made from: an example, one of the session's, or the one the file carries."""
    from explain.export import embedded_recipe

    recipe, pictures = contents.recipe, state.of(image_source.Pictures)
    example = image_source.example_named(recipe.picture_name)
    if example is not None and image_source.example(example).sha256 == recipe.picture_sha256:
        image_source.turn_to_example(example)
    elif (image := pictures.own.get(recipe.picture_sha256) or embedded_recipe.original(contents)) is not None:
        image_source.turn_to(image)
    else:
        raise ImageProblem(
            f"{name} was made from {recipe.picture_name}, which it does not carry: open that picture first, then this "
            "file again."
        )
    # More than the picture changes: the sidebar must be drawn first.
    pictures.just_given = False


def _uploaded(key: str) -> None:
    take((file.name, file.getvalue()) for file in st.session_state[key] or ())
    state.of(image_source.Pictures).uploads += 1


def _photographed() -> None:
    if (photo := st.session_state.camera) is not None:
        take([("camera.jpg", photo.getvalue())])


def _to_example() -> None:
    # Drawn for the first time, the pills report their initial value as if it had been clicked.
    if st.session_state.example != url_state.memory("example"):
        image_source.turn_to_example(st.session_state.example)


def _instead() -> None:
    if (name := st.session_state["example-instead"]) is not None:
        st.session_state["example-instead"] = None
        image_source.turn_to_example(name)
