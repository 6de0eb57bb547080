"""Which picture everything is about: photographs that installed packages carry, drawn scenes, what was given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from common import packaged
from common.errors import ImageProblem, Problem
from components import canvas
from components.dropzone import take_files
from components.session import reopen, url_state
from explain.phrases import pixels
from explain.picture.image import Image
from models.demo import captioned_scenes, person_scenes
from models.demo.showcase import SCENES, SIDE, scene

if TYPE_CHECKING:
    from collections.abc import Iterable

    from explain.export.embedded_recipe import Contents

EXAMPLES = (*packaged.PHOTOGRAPHS, *SCENES, captioned_scenes.EXAMPLE, person_scenes.EXAMPLE)
FIRST = "bus"
KEPT = 12
"""Pictures of one session that stay in memory; the oldest goes first."""


def bundled(name: str) -> Image:
    """A bundled photograph, whose package is not imported, or a drawn scene."""
    if name in SCENES:
        from models.demo.scenes import draw

        return Image.open(draw(scene(name)).pixels, name=f"{name}.png")
    if name == captioned_scenes.EXAMPLE:
        return Image.open(captioned_scenes.draw(captioned_scenes.example(), SIDE).pixels, name=f"{name}.png")
    if name == person_scenes.EXAMPLE:
        return Image.open(person_scenes.draw(person_scenes.example()).pixels, name=f"{name}.png")
    if (path := packaged.photograph(name)) is None:
        package, _ = packaged.PHOTOGRAPHS[name]
        raise ImageProblem(f"The example {name} comes with {package}, which is not installed: choose another picture.")
    return Image.open(path)


example = st.cache_data(show_spinner=False, max_entries=12)(bundled)
"""`bundled`, for pages."""


def choose() -> Image:
    """The picture's place at the top of the sidebar: thumbnail, name, and every way to change it."""
    url_state.recall("example", EXAMPLES, FIRST, name="example")
    take_files(take, key="intake")
    reopen.go()
    _drawn()
    st.session_state.pop("news", None)
    given: dict[str, Image] = st.session_state.setdefault("pictures", {})
    url_state.recall("picture", given, None)
    with st.container(horizontal=True, wrap=False, vertical_alignment="center"):
        thumbnail, beside = st.container(width=72), st.container(width=118, gap="xxsmall")
    with beside:
        title = st.empty()
        with st.popover("Change", icon=":material/swap_horiz:", width="stretch", help="Choose another picture."):
            _ways(given)
    image = st.session_state["current"] = _current(given)
    held = st.session_state.get("thumbnail", ("", None))
    if held[0] != image.sha256:
        small = image.thumbnail(160)
        # A tower of a picture would push everything else off the screen.
        small = small[: max(1, round(1.4 * small.shape[1]))]
        # Nor may a ribbon of one be so low that nothing of it is left at its width here.
        rows = -(-small.shape[1] // 72)
        held = st.session_state["thumbnail"] = (image.sha256, small.repeat(-(-rows // small.shape[0]), axis=0))
    thumbnail.image(held[1], width=72, alt=f"The chosen picture, {image.name}")
    title.markdown(f"**{_short(image.name)}**  \n:small[{pixels(image.width, image.height)}]")
    if problem := st.session_state.get("picture_problem"):
        st.error(problem, icon=":material/error:")
    return image


def photograph() -> bool:
    """Whether a bundled photograph is what everything is about."""
    return st.session_state.get("picture") is None and st.session_state.example in packaged.PHOTOGRAPHS


def news() -> Image | None:
    """The picture that was given just now, where that is what this run is for; once."""
    _drawn()
    state = st.session_state
    return state.pictures.get(state.picture) if state.pop("news", False) else None


def _current(given: dict[str, Image]) -> Image:
    chosen = st.session_state.get("picture")
    url_state.keep("picture", chosen)
    if chosen in given:
        url_state.write("example", None)
        return given[chosen]
    url_state.keep("example", st.session_state.example, FIRST, name="example")
    return example(st.session_state.example)


def _ways(given: dict[str, Image]) -> None:
    about: dict[str, Any] = {
        "format_func": str.capitalize,
        "help": "Photographs that come with the installed packages, and drawn scenes that the demo models know.",
    }
    if st.session_state.get("picture") in given:
        # None of them is chosen, so that each can be.
        st.pills("Examples", list(EXAMPLES), key="example-instead", on_change=_instead, **about)
    else:
        st.pills("Examples", list(EXAMPLES), key="example", required=True, on_change=_to_example, **about)
    if given:
        st.selectbox(
            "Your pictures",
            [None, *given],
            format_func=lambda key: "none, an example" if key is None else given[key].name,
            key="picture",
            help="What this session was given; it is forgotten when the session ends.",
        )
    key = f"upload-{st.session_state.setdefault('uploads', 0)}"
    st.file_uploader(
        "Your own, one or several",
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
    url_state.recall("draw", (True, False), False)
    draw = st.toggle("Draw", key="draw", on_change=_to_paper, help="A paper on Explore; explained as you draw.")
    url_state.keep("draw", draw)


# Callbacks run before the page is drawn, when the choice of picture may still be set.


def take(files: Iterable[tuple[str, bytes]]) -> None:
    """Decode what came in; the last good one is chosen, and what is wrong with the others is said.

    A file that carries the recipe of a view is not a picture to explain: it opens that view.
    """
    from explain.export import embedded_recipe

    given: dict[str, Image] = st.session_state.setdefault("pictures", {})
    problems: list[str] = []
    for name, data in files:
        try:
            if (found := embedded_recipe.contents(data)) is not None:
                _original(found, name, given)
                reopen.view(found)
                continue
            image = Image.open(data, name=name)
        except Problem as problem:
            problems.append(str(problem))
            continue
        own(image)
        st.session_state.news = True
    st.session_state.picture_problem = " ".join(problems) or None


def _drawn() -> None:
    """Turn to a drawing that came in just now."""
    if (found := canvas.take_drawing()) is not None:
        image, before = found
        # A drawing is one picture of the session, not one for each of its strokes.
        st.session_state.setdefault("pictures", {}).pop(before, None)
        own(image)
        st.session_state.news = True


def _to_paper() -> None:
    if st.session_state.draw and st.session_state.get("page") != "explore":
        url_state.keep("draw", True)
        st.session_state.go = "pages/explore.py"


def own(image: Image) -> None:
    """Turn to a picture that is no example, and keep it with the session's own."""
    given: dict[str, Image] = st.session_state.setdefault("pictures", {})
    given.pop(image.sha256, None)
    given[image.sha256] = image
    while len(given) > KEPT:
        del given[next(iter(given))]
    st.session_state.picture, st.session_state.picture_problem = image.sha256, None


def _original(found: Contents, name: str, given: dict[str, Image]) -> None:
    """Choose the picture that a file was made from: an example, one of the session's, or the one that it carries."""
    from explain.export import embedded_recipe

    state, recipe = st.session_state, found.recipe
    sha256 = recipe.picture_sha256
    files = {Path(part).name: example for example, (_, part) in packaged.PHOTOGRAPHS.items()}
    files |= {f"{scene}.png": scene for scene in (*SCENES, captioned_scenes.EXAMPLE, person_scenes.EXAMPLE)}
    known = files.get(recipe.picture_name)
    if known is not None and example(known).sha256 == sha256:
        turn_to(known)
    elif (image := given.get(sha256) or embedded_recipe.original(found)) is not None:
        own(image)
    else:
        raise ImageProblem(
            f"{name} was made from {recipe.picture_name}, which it does not carry: give that picture first, then this "
            "file again."
        )
    # More than a picture comes in: what is chosen beside it must be drawn first.
    state.news = False


def _uploaded(key: str) -> None:
    take((file.name, file.getvalue()) for file in st.session_state[key] or ())
    st.session_state.uploads += 1


def _photographed() -> None:
    if (photo := st.session_state.camera) is not None:
        take([("camera.jpg", photo.getvalue())])


def turn_to(name: str) -> None:
    """Show an example, by its name."""
    st.session_state.example = name
    url_state.keep("example", name)
    st.session_state.picture = st.session_state.picture_problem = None
    url_state.keep("picture", None)


def _to_example() -> None:
    # Drawn for the first time, the pills report what they were given as if it had been chosen.
    if st.session_state.example == st.session_state.get("memory", {}).get("example"):
        return
    st.session_state.picture = None
    url_state.keep("picture", None)
    st.session_state.picture_problem = None


def _instead() -> None:
    if (name := st.session_state["example-instead"]) is None:
        return
    st.session_state["example-instead"] = None
    turn_to(name)


def _short(name: str, most: int = 16) -> str:
    cut: Any = name if len(name) <= most else f"{name[: most - 6]}…{name[-5:]}"
    return str(cut).replace("*", r"\*").replace("_", r"\_").replace("[", r"\[")
