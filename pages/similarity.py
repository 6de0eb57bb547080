"""Similarity: two pictures, or one and a gallery."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from sightglass.common.errors import ImageProblem, ModelProblem
from sightglass.common.settings import MIB
from sightglass.components import saving, streamlit_internals
from sightglass.components.choices import gallery_picker, model_picker, sidebar
from sightglass.components.pairs import draw_patches
from sightglass.components.saving import slides
from sightglass.components.session import history_store, page, state, url_state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import escape, sentence, shorten
from sightglass.components.session.pictures import image_source
from sightglass.components.views import comparisons, exports
from sightglass.components.widgets import rows
from sightglass.explain import methods
from sightglass.explain.evidence import cache
from sightglass.explain.phrases import percent, plural
from sightglass.explain.picture import image
from sightglass.explain.similarity import patches, ranking
from sightglass.explain.similarity import similarity as pair_similarity
from sightglass.explain.tasks.task import Answer
from sightglass.export import similarity_files

if TYPE_CHECKING:
    from sightglass.components.session.state import Choices
    from sightglass.explain import Explainer
    from sightglass.explain.rendering.style import Unseen
    from sightglass.explain.similarity.patches import PatchColours, PatchGrid
    from sightglass.explain.similarity.ranking import Context, Ranking
    from sightglass.explain.similarity.similarity import Similarity

LISTED = 50
"""Pictures of a gallery in the list."""
STRIP = 4
"""The most similar pictures, whose maps are below."""


@page.guard
def similarity() -> None:
    bar, top, main = st.container(), st.container(), st.container()
    choices, explainer = sidebar.draw(
        bar,
        methods=(pair_similarity.DEFAULT, *(name for name in methods.SIMILARITY if name != pair_similarity.DEFAULT)),
    )
    choices, explainer, instead = _able(choices, explainer)
    with page.head(top) as title:
        lens = _lens()
        of = _of() if lens == "pair" else "cosine"
        items = gallery_picker.choose(explainer, choices.image)
    with main:
        if not items:
            title.markdown("## Choose a picture to compare with.")
            st.caption("Use :material/photo_library: *Against* at the top right: one other picture, or many.")
            st.image(choices.image.thumbnail(720), caption=choices.image.name, alt=choices.image.name)
            return
        ranking = _rank(choices, explainer, items)
        if not ranking.hits:
            title.markdown("## There is no other picture to compare with.")
            _notes(ranking)
            return
        if lens == "patches":
            title.markdown(f"## {escape(shorten(choices.image.name, 28, 8))}, patch by patch")
            _patches(choices, explainer, ranking)
            _notes(ranking, None, instead)
            return
        left, right = st.columns([3, 1], gap="medium")
        with right:
            chosen = _list(ranking)
        result = _compare(choices, explainer, ranking, chosen, of)
        with left:
            comparisons.similarity_maps(result, key="pairs")
            actions = st.container(horizontal=True, vertical_alignment="center")
        # Needs passes of its own the first time: the maps come first.
        context = _context(choices, explainer, result)
        names = " and ".join(escape(shorten(side.image.name, 28, 8)) for side in result.sides)
        title.markdown(f"## {names}: {result.score:.2f}, {context.verdict(result.score)}")
        with actions:
            saving.save_and_export(
                "similarity",
                partial(exports.of_similarity, result, context, ranking),
                pair=history_store.ComparedPair(result, context, ranking),
                view=False,
                slide=slides.of_pair(result, context.verdict(result.score)),
            )
        with right:
            _numbers(result, context)
            st.button(
                "Use as the query",
                icon=":material/swap_horiz:",
                on_click=gallery_picker.turn_to,
                args=(result.gallery.image,),
                width="stretch",
                help="Choose this picture at the top of the page, so that the others are compared with it.",
            )
        _notes(ranking, result, instead)
        if len(ranking.hits) > 1:
            _strip(choices, explainer, ranking, of)


def _able(choices: Choices, explainer: Explainer) -> tuple[Choices, Explainer, str]:
    """Return a model for comparing pictures, and a sentence if another."""
    resident = explainer.resident
    if resident.adapter.has_embedding and resident.gradients:
        return choices, explainer, ""
    reason = "exposes no internals" if resident.adapter.has_embedding else "does not compare pictures"
    if model_picker.FIRST not in model_picker.menu()[1]:
        raise ModelProblem(f"{choices.model.id} {reason}: choose a classifier, or a model that compares pictures.")
    explainer = sidebar.load(model_picker.FIRST)
    choices = sidebar.fitting(choices, explainer, choices.method)
    return choices, explainer, f"{choices.model.id} compares them, as the chosen model {reason}."


def _lens() -> str:
    return url_state.widget(
        st.segmented_control,
        "What is compared",
        {"pair": "Pictures", "patches": "Patches"},
        "pair",
        key="similarity-lens",
        name="parts",
        label_visibility="collapsed",
        help="Pictures: what makes two similar. Patches: in colours, and which others are like the one you click.",
    )


def _of() -> str:
    return url_state.widget(
        st.segmented_control,
        "What the maps show",
        {"cosine": "Similarity", "product": "Score"},
        "cosine",
        key="of",
        name="of",
        label_visibility="collapsed",
        help="Similarity: what would make the two more similar if there were more of it, and what makes them differ. "
        "Score: what the score is made of.",
    )


@st.cache_resource(show_spinner=False)
def _cache() -> Any:
    return cache.ByteCache(128 * MIB, lambda result: sum(s.signed.nbytes + s.image.pixels.nbytes for s in result.sides))


def _rank(choices: Choices, explainer: Explainer, items: tuple[Any, ...]) -> Ranking:
    """Return the ranked gallery, cached."""
    ways = _preprocessing(choices)
    # Items have stamps: the same ones in the same order are the same gallery.
    key = (explainer.model.id, choices.image.sha256, tuple((item.key, item.stamp) for item in items), str(ways))
    with explain_job.spinner(explainer), streamlit_internals.status_line() as show:

        def progress(share: float, words: str) -> None:
            if len(items) > STRIP * 2:
                show(f"{words} ({percent(share)})")

        return state.latest(
            "ranking", key, lambda: ranking.rank(explainer, choices.image, items, progress=progress, **ways)
        )


def _preprocessing(choices: Choices) -> dict[str, Any]:
    return {name: value for name, value in choices.options.items() if name == "preprocessing"}


def _list(ranking: Ranking) -> int:
    st.markdown("### Most similar first")
    best = ranking.hits[:LISTED]
    listed = [Answer(hit.name, f"{hit.score:.2f}", max(0.0, hit.score)) for hit in best]
    key = f"hits-{hash(tuple(hit.item.stamp for hit in best)) & 0xFFFFFFFF:x}-{ranking.query.sha256[:8]}"
    chosen = rows(listed, key=key)
    if len(ranking.hits) > LISTED:
        st.caption(f"The best {LISTED} of {len(ranking.hits):,}.")
    return chosen


def _compare(choices: Choices, explainer: Explainer, ranking: Ranking, place: int, of: str) -> Similarity:
    from sightglass.explain.similarity.similarity import similarity

    hit, chosen = ranking.hits[place], {name: choices.options.get(name) for name in ("layers", "preprocessing")}
    settings: dict[str, Any] = {"method": choices.method} | {name: value for name, value in chosen.items() if value}
    key: tuple[Any, ...] = (explainer.resident.adapter.weights_sha256, explainer.model.row)
    key += (ranking.query.sha256, ranking.query.name)
    key += (hit.item.stamp, hit.item.key, of, str(sorted(settings.items())))
    result: Similarity | None = _cache().get(key)
    if result is None:
        with explain_job.spinner(explainer):
            result = similarity(explainer, ranking.query, hit.item.open(), of=of, **settings)  # type: ignore[arg-type]
        _cache().put(key, result)
    return result


def _context(choices: Choices, explainer: Explainer, result: Similarity) -> Context:
    with st.spinner("Comparing unrelated pictures…", show_time=False):
        return ranking.context(explainer, choices.image, other=result.gallery.image, **_preprocessing(choices))


def _numbers(result: Similarity, context: Context) -> None:
    more: tuple[str, ...] = ()
    if context.subject != "pictures" and not context.caution and image_source.is_photograph():
        more = (f"This model was trained on {context.subject}, but the query is a photograph of other things.",)
    comparisons.similarity_meaning(result, context, *more)


def _notes(ranking: Ranking, result: Similarity | None = None, *more: str) -> None:
    """Draw the model's notes, substitutions and left-out pictures."""
    if gallery_picker.waiting():
        more = (*more, "These are the examples, until you give a picture under *Against*.")
    for note in (*filter(None, more), *(map(sentence, result.notes) if result is not None else ())):
        st.caption(f":material/info: {note}")
    if ranking.itself:
        st.caption(f":material/info: Left out: it is your picture ({escape(', '.join(ranking.itself[:3]))}).")
    for _, why in ranking.failed[:3]:
        st.warning(sentence(why), icon=":material/broken_image:")
    if len(ranking.failed) > 3:
        st.caption(f"{plural(len(ranking.failed) - 3, 'more file')} could not be read.")


def _patches(choices: Choices, explainer: Explainer, ranking: Ranking) -> None:
    """Draw the patches of the picture and of the most similar."""
    layers = tuple(choices.options.get("layers") or ())
    hits = ranking.hits[:STRIP]
    network = explainer.resident.adapter.weights_sha256, explainer.model.row
    pictures = ranking.query.sha256, ranking.query.name, tuple(hit.item.stamp for hit in hits)
    key = (*network, *pictures, layers, str(_preprocessing(choices)))

    def make() -> tuple[list[PatchGrid], PatchColours]:
        with explain_job.spinner(explainer):
            opened = [ranking.query, *(hit.item.open() for hit in hits)]
            grids = patches.read_patches(explainer, opened, layers=layers, **_preprocessing(choices))
        return grids, patches.colour_patches(grids)

    grids, colours = state.latest("patches", key, make)
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:12]
    draw_patches(grids, colours, key=f"patches-{digest}")


def _strip(choices: Choices, explainer: Explainer, ranking: Ranking, of: str) -> None:
    """Draw the most similar pictures with their maps, small."""
    st.markdown("### The most similar pictures, and why")
    unseen: Unseen = "dark" if st.context.theme.type == "dark" else "light"
    # Not columns: on a phone each would be as wide as the page.
    line = st.container(horizontal=True, gap="small", vertical_alignment="bottom")
    for i, hit in enumerate(ranking.hits[:STRIP]):
        with line.container(width=160):
            try:
                result = _compare(choices, explainer, ranking, i, of)
            except ImageProblem as problem:
                st.caption(sentence(problem))
                continue
            small = image.Image(np.ascontiguousarray(similarity_files.draw_pair(result, unseen)[1])).thumbnail(360)
            caption = f"{i + 1}. {escape(shorten(hit.name, 24))} {hit.score:.2f}"
            st.image(small, caption=caption, width="stretch", alt=similarity_files.places(result)[-1])


similarity()
