"""Show several maps at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.pairs import pairs
from sightglass.components.session.markdown import escape
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import NBSP
from sightglass.export import similarity_files

if TYPE_CHECKING:
    from sightglass.explain.similarity.ranking import Context
    from sightglass.explain.similarity.similarity import Similarity


OF = {"cosine": "Similarity and difference", "product": "What the score is made of"}


def similarity_maps(found: Similarity, *, key: str) -> None:
    """Draw both pictures' maps and describe similar and different places."""
    sentences = similarity_files.places(found)
    line = "Point at a place in one picture: a line joins it to the best match in the other."
    pairs(found, (sentences[0], sentences[-1]), line if found.state == "ok" else sentences[0], key=key)
    for words in sentences if found.state == "ok" else ():
        # Names of files are in them, and a number stays with its sign.
        st.caption(escape(words).replace(" %", f"{NBSP}%"))


def similarity_meaning(found: Similarity, context: Context | None, *more: str) -> None:
    """Draw the reference scores, `more` sentences, and how the maps were made."""
    st.markdown("### What the number means")
    for words in (*([context.words] if context is not None else ()), *more):
        st.caption(escape(words))
    layer = escape(", ".join(found.layers))
    rows, columns = found.matches.query.shape
    st.caption(
        f"{OF[found.of]}, by {METHODS[found.method].name} at {layer}: {rows} by {columns} cells. Both maps share one "
        "scale."
    )
