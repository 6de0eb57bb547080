"""Compare two pictures, or one with a gallery."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer, methods
from sightglass.explain.phrases import percent, plural, signed
from sightglass.explain.similarity import ranking
from sightglass.explain.similarity import similarity as pair_similarity
from sightglass.explain.tasks.wording import Answer
from sightglass.report import offers, similarity_files
from sightglass.ui import saving
from sightglass.ui.choices import controls, model_picker
from sightglass.ui.session import page, state, url_state
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape, sentence, shorten
from sightglass.ui.session.pictures import image_source
from sightglass.ui.views import pairs
from sightglass.ui.widgets import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain.picture.source import Item
    from sightglass.explain.similarity.ranking import Ranking
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.ui.session.state import Choices

SECOND, LACKS, OTHER = "with", "lacks", "other"
"""Names in the address of an example as the second picture, of one that is no example, and of its upload."""
MAX_LISTED = 50
"""Pictures of a gallery in the list, the most similar ones."""


def draw(bar: DeltaGenerator, right: DeltaGenerator, title: DeltaGenerator, main: DeltaGenerator) -> None:
    """Draw the tab; `bar`: of the choice of a picture, `right`: beside the tabs."""
    # Before the pictures are drawn, which it is one of.
    image_source.borrow(url_state.read_once(OTHER))
    first = pair_similarity.DEFAULT
    offered = (first, *(name for name in methods.SIMILARITY if name != first))
    choices, explainer, instead = _find_model(*controls.draw(bar, methods=offered))
    with right:
        items = pairs.choose(explainer, choices.image)
    with main:
        ranked = _rank(choices, explainer, items)
        # The name of a link's second picture, which it cannot carry, until others than examples are here.
        if name := url_state.read_once(LACKS):
            url_state.remember(LACKS, shorten(name, image_source.MAX_NAME))
        missing = url_state.memory(LACKS) if pairs.is_example(choices.image) else ""
        if not ranked.hits:
            title.markdown("## There is no other picture to compare with.")
        elif missing:
            title.markdown(f"## This link is also about {escape(missing)}, which is not in it: add it under Against.")
            st.button("Compare with others", key="pair-others", on_click=url_state.remember, args=(LACKS, ""))
        else:
            _draw_pair(choices, explainer, ranked, title)
        _draw_notes(ranked, instead)


def _find_model(choices: Choices, explainer: Explainer) -> tuple[Choices, Explainer, str]:
    """Return choices and a model that compare pictures, and a sentence if it is another model than the chosen one."""
    loaded = explainer.loaded
    if loaded.adapter.has_embedding and loaded.gradients:
        return choices, explainer, ""
    reason = "exposes no internals" if loaded.adapter.has_embedding else "does not compare pictures"
    if model_picker.FIRST not in model_picker.local_models():
        raise ModelProblem(f"{choices.model.id} {reason}: choose a classifier, or a model that compares pictures.")
    explainer = controls.load(model_picker.FIRST)
    choices = controls.adapt_to_model(choices, explainer, choices.method)
    return choices, explainer, f"{explainer.model.id} compares them, as {choices.model.id} {reason}."


def _rank(choices: Choices, explainer: Explainer, items: Sequence[Item]) -> Ranking:
    """Return the ranked gallery, cached."""
    preprocessing = choices.options.get("preprocessing", "trained")
    # Items have stamps: the same ones in the same order are the same gallery.
    key = explainer.loaded.version, choices.image.sha256, [(item.key, item.stamp) for item in items], preprocessing
    with explain_job.spinner(explainer), page.status_line() as show:

        def progress(share: float, words: str) -> None:
            show(f"{words} ({percent(share)})")

        rank = partial(ranking.rank, explainer, choices.image, items, preprocessing=preprocessing, progress=progress)
        return state.latest("ranking", key, rank)


def _draw_pair(choices: Choices, explainer: Explainer, ranked: Ranking, title: DeltaGenerator) -> None:
    left, right = st.columns([3, 1], gap="medium")
    with right:
        chosen = _choose_hit(ranked)
    result = _compare(choices, explainer, ranked, chosen)
    with left.container(key="pair"):
        uploaded = not pairs.is_example(choices.image)
        url_state.set_url(SECOND, ranked.hits[chosen].name if chosen and not uploaded else None)
        url_state.set_url(LACKS, ranked.hits[chosen].name if uploaded else None)
        own = uploaded and image_source.is_kept(ranked.hits[chosen].item.stamp)
        url_state.set_url(OTHER, ranked.hits[chosen].item.stamp[: image_source.DIGITS] if own else None)
        lacks = (f"the picture {result.gallery.image.name}",) if uploaded and not own else ()
        pairs.draw_pair(result, key="viewer-pair", lacks=lacks)
        actions = st.container(horizontal=True, vertical_alignment="center")
    names = " and ".join(escape(shorten(side.image.name, 28, 8)) for side in result.sides)
    title.markdown(f"## {names}: similarity {signed(result.score)}")
    with actions:
        saving.save_and_export(
            "similarity",
            partial(offers.similarity_downloads, result, ranked),
            saved=[(result, {})],
            view=False,
            slide=lambda _: similarity_files.pair_view(result),
        )
        saving.link_button([(result, {})])
    with right:
        pairs.explain_score(result)
    for note in result.notes:
        st.caption(f":material/info: {sentence(note)}")


def _choose_hit(ranked: Ranking) -> int:
    """Draw the most similar pictures; return the rank of the chosen one, at first that of the address."""
    best = ranked.hits[:MAX_LISTED]
    listed = [Answer(hit.name, signed(hit.score), max(0.0, hit.score)) for hit in best]
    key = f"hits-{hash(tuple(hit.item.stamp for hit in best)) & 0xFFFFFFFF:x}-{ranked.query.sha256[:8]}"
    st.markdown("### Most similar first")
    names = [hit.name for hit in best]
    if name := url_state.read_once(SECOND):
        url_state.remember(SECOND, name)
        if name not in names:
            url_state.leave_out(SECOND, name)
    linked = url_state.memory(SECOND) or url_state.memory(LACKS)
    chosen = rows(listed, key=key, chosen=names.index(linked) if linked in names else 0)
    if len(ranked.hits) > MAX_LISTED:
        st.caption(f"The best {MAX_LISTED} of {len(ranked.hits):,}.")
    return chosen


def _compare(choices: Choices, explainer: Explainer, ranked: Ranking, rank: int) -> Similarity:
    """Return the similarity to the picture at a rank and its maps, cached."""
    hit, chosen = ranked.hits[rank], {name: choices.options.get(name) for name in ("layers", "preprocessing")}
    settings: dict[str, Any] = {"method": choices.method} | {name: value for name, value in chosen.items() if value}
    pair_key = ranked.query.sha256, ranked.query.name, hit.item.stamp, hit.item.key
    key = (explainer.loaded.version, *pair_key, str(sorted(settings.items())))

    def make() -> Similarity:
        with explain_job.spinner(explainer):
            return pair_similarity.similarity(explainer, ranked.query, hit.item.open(), **settings)

    return state.latest("similarity", key, make)


def _draw_notes(ranked: Ranking, instead: str) -> None:
    """Draw substitutions and left-out pictures."""
    if instead:
        st.caption(f":material/info: {escape(instead)}")
    if ranked.itself:
        st.caption(f":material/info: Left out: it is your picture ({escape(', '.join(ranked.itself[:3]))}).")
    for _, why in ranked.failed[:3]:
        st.warning(sentence(why), icon=":material/broken_image:")
    if len(ranked.failed) > 3:
        st.caption(f"{plural(len(ranked.failed) - 3, 'more file')} could not be read.")
