"""What was read of labels, before a run: sentences, and a few labelled pictures."""

from functools import partial

import streamlit as st

from sightglass.batch import label_examples
from sightglass.evaluation.label_files.options import say_on_page
from sightglass.explain import Explainer
from sightglass.pages.pictures.job import PicturesPage
from sightglass.ui.session import state
from sightglass.ui.session.markdown import escape


def draw(remembered: PicturesPage, explainer: Explainer) -> None:
    """Draw what was read of the labels that are given; nothing without any."""
    source, truth = remembered.source, remembered.truth
    if source is None or truth is None:
        return
    key = source.path, id(truth), explainer.model.id
    # Of an archive with pictures and labels the page says it once.
    left_out = {} if source.left_out else truth.left_out
    read = partial(label_examples.show, truth, source.items, explainer.labels, left_out)
    shown = state.latest("pictures-read", key, read)
    st.markdown("\n".join(f"- {escape(say_on_page(each))}" for each in shown.sentences))
    for column, example in zip(st.columns(label_examples.COUNT), shown.examples, strict=False):
        column.image(example.pixels, caption=escape(example.words), alt=f"The picture with its labels, {example.words}")
