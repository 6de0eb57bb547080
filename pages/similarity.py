"""Similarity: the picture against another or against a gallery, and which regions of both make them alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import ImageProblem, ModelProblem
from components.answer_list import Row, rows
from components.choices import gallery_picker, image_picker, sidebar
from components.pairs import pairs
from components.session import page, url_state
from explain.methods import METHODS
from explain.phrases import plural

if TYPE_CHECKING:
    from components.choices.sidebar import Choices
    from explain import Explainer
    from explain.similarity.ranking import Context, Ranking
    from explain.similarity.similarity import Similarity

LISTED = 50
"""Pictures of a gallery in the list."""
STRIP = 4
"""The most alike ones whose maps stand below."""
OF = {"cosine": "Alike and apart", "product": "What the score is made of"}


@page.screen
def similarity() -> None:
    top, main = st.container(), st.container()
    from explain.similarity.similarity import DEFAULT, OFFERED

    choices, explainer = sidebar.draw(methods=(DEFAULT, *(name for name in OFFERED if name != DEFAULT)))
    with top, st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        title = st.container(width="content").empty()
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            of = _of()
            items = gallery_picker.choose(explainer, choices.image)
    with main:
        if not items:
            title.markdown("## Choose a picture to compare with.")
            st.caption("Under :material/photo_library: *Against* at the top right: one other picture, or many.")
            st.image(choices.image.thumbnail(720), caption=choices.image.name)
            return
        _ask(choices, explainer)
        ranking = _ranked(choices, explainer, items)
        if not ranking.hits:
            title.markdown("## There is nothing else to compare with.")
            _told(ranking)
            return
        left, right = st.columns([3, 1], gap="medium")
        with right:
            chosen = _list(ranking)
        found = _compared(choices, explainer, ranking, chosen, of)
        with left:
            _pair(found)
        # Passes of their own, the first time: the maps are there before them.
        context = _context(choices, explainer)
        title.markdown(f"## {found.score:.2f}, {context.verdict(found.score)}.")
        with right:
            _numbers(found, context)
            st.button(
                "Compare from this one",
                icon=":material/swap_horiz:",
                on_click=image_picker.own,
                args=(found.gallery.image,),
                width="stretch",
                help="Makes the chosen picture the one that all others are compared with, on every screen.",
            )
        _told(ranking, found)
        if len(ranking.hits) > 1:
            _strip(choices, explainer, ranking, of)


def _ask(choices: Choices, explainer: Explainer) -> None:
    """Raise ModelProblem for a model that this screen is not for, before anything is computed."""
    from explain.similarity.similarity import comparable

    comparable(explainer.resident)
    if not explainer.resident.gradients:
        raise ModelProblem(f"{choices.model.id} only answers: nothing in it says what makes two pictures alike.")


def _of() -> str:
    url_state.recall("of", list(OF), "cosine", name="of")
    chosen = st.segmented_control(
        "What the maps show",
        list(OF),
        format_func={"cosine": "Alike, apart", "product": "Score"}.__getitem__,
        key="of",
        required=True,
        label_visibility="collapsed",
        help="Alike, apart: what more of would make the two more alike, and what sets them apart (the gradient of the "
        "cosine). Score: what the score is made of, whatever else is in the pictures (the same with lengths held).",
    )
    url_state.keep("of", chosen, "cosine", name="of")
    return chosen or "cosine"


def _settings(choices: Choices) -> dict[str, Any]:
    """The sidebar's choices as far as they mean anything here."""
    given = {name: choices.options.get(name) for name in ("layers", "preprocessing")}
    return {"method": choices.method} | {name: value for name, value in given.items() if value}


@st.cache_resource(show_spinner=False)
def _kept() -> Any:
    from common.settings import cache_bytes
    from explain.evidence.cache import ByteCache

    return ByteCache(
        lambda: cache_bytes("similarities"),
        lambda found: sum(s.signed.nbytes + s.image.pixels.nbytes for s in found.sides),
    )


def _ranked(choices: Choices, explainer: Explainer, items: tuple[Any, ...]) -> Ranking:
    """The gallery in order; its vectors are held, so that another choice of maps costs no pass."""
    from explain.similarity.ranking import rank

    place = st.empty()
    bar: Any = None

    def progress(share: float, words: str) -> None:
        nonlocal bar
        if len(items) > STRIP * 2:
            bar = bar or place.progress(0.0)
            bar.progress(min(share, 1.0), words)

    ways = {name: value for name, value in choices.options.items() if name == "preprocessing"}
    with st.spinner(f"{explainer.model.id} is looking", show_time=False):
        # Items know what they are: the same ones in the same order are the same gallery.
        key = (explainer.model.id, choices.image.sha256, tuple((item.key, item.stamp) for item in items), str(ways))
        held = st.session_state.get("ranking", (None, None))
        if held[0] != key:
            held = st.session_state["ranking"] = (key, rank(explainer, choices.image, items, progress=progress, **ways))
    place.empty()
    made: Ranking = held[1]
    return made


def _list(ranking: Ranking) -> int:
    st.markdown("##### Most alike first")
    shown = ranking.hits[:LISTED]
    listed = [Row(hit.name, max(0.0, hit.score), f"{hit.score:.2f}") for hit in shown]
    key = f"hits-{hash(tuple(hit.item.stamp for hit in shown)) & 0xFFFFFFFF:x}-{ranking.query.sha256[:8]}"
    chosen = rows(listed, key=key)
    if len(ranking.hits) > LISTED:
        st.caption(f"The best {LISTED} of {len(ranking.hits):,}.")
    return chosen


def _compared(choices: Choices, explainer: Explainer, ranking: Ranking, place: int, of: str) -> Similarity:
    from explain.similarity.similarity import similarity

    hit, settings = ranking.hits[place], _settings(choices)
    key: tuple[str | None, ...] = (explainer.resident.adapter.weights_sha256, choices.model.id)
    key += (ranking.query.sha256, ranking.query.name)
    key += (hit.item.stamp, hit.item.key, of, str(sorted(settings.items())))
    found: Similarity | None = _kept().get(key)
    if found is None:
        with st.spinner(f"{explainer.model.id} is looking", show_time=False):
            found = similarity(explainer, ranking.query, hit.item.open(), of=of, **settings)  # type: ignore[arg-type]
        _kept().put(key, found)
    return found


def _context(choices: Choices, explainer: Explainer) -> Context:
    from explain.similarity.ranking import context

    ways = {name: value for name, value in choices.options.items() if name == "preprocessing"}
    with st.spinner("Comparing unrelated pictures", show_time=False):
        return context(explainer, choices.image, **ways)


def _pair(found: Similarity) -> None:
    from explain.export.similarity_files import places

    told = places(found)
    if found.state == "ok":
        line = "Point at a place in one picture: the place that matches it best in the other is joined to it."
        texts = (told[0], told[1])
    else:
        line, texts = told[0], (told[0], told[0])
    pairs(found, texts, line, key="pairs")
    for words in told if found.state == "ok" else ():
        st.caption(words)


def _numbers(found: Similarity, context: Context) -> None:
    st.markdown("##### What the number means")
    st.caption(context.words)
    if context.subject != "pictures" and image_picker.photograph():
        st.caption(f"This model was made for {context.subject}, and the query is a photograph of many things.")
    layer = ", ".join(found.layers)
    rows_, columns = found.matches.query.shape
    st.caption(
        f"{OF[found.of]}, by {METHODS[found.method].name} at {layer}: {rows_} by {columns} cells. Each map is as "
        "strong as its own strongest place."
    )


def _told(ranking: Ranking, found: Similarity | None = None) -> None:
    """What is to be said beside it: pictures that were left out, and what the model has to say of itself."""
    for note in found.notes if found is not None else ():
        st.caption(f":material/info: {note}")
    if ranking.itself:
        st.caption(f":material/info: Left out, for it is the query itself: {', '.join(ranking.itself[:3])}.")
    for _, sentence in ranking.failed[:3]:
        st.warning(sentence, icon=":material/broken_image:")
    if len(ranking.failed) > 3:
        st.caption(f"{plural(len(ranking.failed) - 3, 'more file')} could not be read.")


def _strip(choices: Choices, explainer: Explainer, ranking: Ranking, of: str) -> None:
    """The most alike ones with their maps, small."""
    from explain.export.similarity_files import overlay
    from explain.picture.image import Image

    st.markdown("##### The most alike, with what makes them so")
    # Not columns: on a phone each would be as wide as the page.
    line = st.container(horizontal=True, gap="small")
    for i, hit in enumerate(ranking.hits[:STRIP]):
        with line.container(width=168):
            try:
                found = _compared(choices, explainer, ranking, i, of)
            except ImageProblem as problem:
                st.caption(str(problem))
                continue
            small = Image(overlay(found.gallery)).thumbnail(360)
            st.image(small, caption=f"{i + 1}. {hit.name} {hit.score:.2f}", width="stretch")


similarity()
