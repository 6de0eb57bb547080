"""The answer of a model that answers in words: how far each word was seen, and maps of those that are chosen."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.explain.methods import METHODS
from sightglass.explain.tasks.describe import NO_MAP, NO_PLACES, against_sentence, find_phrase, words_of
from sightglass.pages.explore.answers import Answers, Row
from sightglass.ui.session import state, url_state
from sightglass.ui.session.control_table import INSTEAD, Page
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.widgets import rows, ticked_pair

if TYPE_CHECKING:
    from sightglass.explain import Explainer, Explanation
    from sightglass.ui.session.state import Choices

PHRASE = "phrase"
HELP = (
    "The bar below a word is how far the word depends on the picture: how much its probabilities change with other "
    "pictures in its place. Grey: said, not seen. Red and dotted: the picture speaks against it. A click explains a "
    "word; a click with Shift explains all words from the chosen one."
)


class Sentence(Answers):
    """The words of an answer for one run of the page."""

    def __init__(self, choices: Choices, explainer: Explainer) -> None:
        self.boxes, self.slow, self.explainer = False, not METHODS[choices.method].quick, explainer
        against = INSTEAD.value(Page(explainer))
        more = {} if against is None else {"against": against, "part": "contrast"}
        self.choices = replace(choices, options=choices.options | more)

    def explain(self) -> Explanation | None:
        if not self.slow and explain_job.explain(self.choices, self.explainer) is None:
            return None
        base = self.predict()
        # By hiding parts of the picture each word's map would take hundreds of passes.
        if not self.slow or not self.explainer.loaded.gradients:
            return self.complete(base) if not self.slow else base
        phrase = self._find_chosen(base)
        return explain_job.explain(self.choices, self.explainer, targets=((phrase[0], phrase[-1]),))

    def find_map(self, explanation: Explanation) -> int | None:
        """Return the index of the map of the chosen words, None without one."""
        self.phrase = self._find_chosen(explanation)
        self.mapped = {words_of(heatmap.target): i for i, heatmap in enumerate(explanation.heatmaps)}
        self.listed = [Row(word, map=self.mapped.get((word.index,))) for word in explanation.predictions]
        self.chosen = self.phrase[0]
        return self.mapped.get(self.phrase)

    def draw_list(self, explanation: Explanation) -> int | None:
        """Draw the words; return the index of the map of those that are chosen, None without one."""
        st.markdown("### Words", help=HELP)
        before = self.find_map(explanation), self.phrase
        labels = explanation.evidence.loaded.adapter.labels
        content = repr((labels, explanation.image.sha256, explanation.model.id))
        digest = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
        key = f"words-{state.of(state.ChosenAnswer).generation}-{digest}"
        ends = (self.phrase[0], self.phrase[-1]) if len(self.phrase) > 1 else None
        count = len(explanation.heatmaps)
        maps = [*(count if row.map is None else row.map for row in self.listed), self.mapped.get(self.phrase, count)]
        answers = explanation.task.wording.answers(explanation)
        self.chosen = rows(answers, key=key, chosen=self.chosen, ticked=ends, ticks=len(labels), maps=maps)
        pair = ticked_pair(key, len(labels), ends)
        self.phrase = tuple(range(min(pair), max(pair) + 1)) if pair else (self.chosen,)
        if self.phrase != before[1]:
            label = " ".join(labels[word] for word in self.phrase)
            state.of(state.ChosenAnswer).label = label
            url_state.set_url("class", label)
            if self.phrase not in self.mapped:
                st.rerun()
        with st.container(horizontal=True, gap="xsmall"):
            _draw_phrase(labels)
            INSTEAD.choose(Page(self.explainer))
        if not self.explainer.loaded.gradients:
            st.caption(f"{explanation.model.name} {NO_PLACES}.")
        elif not self.slow and self.phrase not in self.mapped:
            st.caption(f"“{' '.join(labels[word] for word in self.phrase)}” was said, not seen: {NO_MAP}.")
        return self.mapped.get(self.phrase)

    def headline(self, explanation: Explanation, index: int | None) -> str:
        """Return how many words were seen, and which of them the picture speaks against."""
        seen = explanation.task.wording.verdict((explanation.model.name,), (explanation,))
        return " ".join(filter(None, (seen, against_sentence(explanation.predictions))))

    def _find_chosen(self, explanation: Explanation) -> tuple[int, ...]:
        """Return the places of the chosen words, at first of those with the first map."""
        label = state.of(state.ChosenAnswer).label
        if label is not None:
            try:
                return find_phrase(label, explanation.evidence.loaded.adapter.labels)
            except Problem:
                # Of another answer.
                state.of(state.ChosenAnswer).label = None
        if explanation.heatmaps:
            return words_of(explanation.heatmaps[0].target)
        return (max(explanation.predictions, key=lambda word: word.score).index,)


def _draw_phrase(labels: tuple[str, ...]) -> None:
    """Draw the field for several words of the answer, which a phone cannot choose with Shift."""

    def choose() -> None:
        text, st.session_state[PHRASE] = st.session_state[PHRASE], ""
        chosen = state.of(state.ChosenAnswer)
        # Emptied by hand.
        if not text.strip():
            return
        try:
            chosen.label = " ".join(labels[word] for word in find_phrase(text, labels))
        except Problem as problem:
            st.toast(str(problem), icon=":material/error:")
            return
        # A new list starts at the words that are chosen here.
        chosen.generation += 1
        url_state.set_url("class", chosen.label)

    look: dict[str, Any] = {"label_visibility": "collapsed", "placeholder": "Several words"}
    st.text_input("Several words", key=PHRASE, on_change=choose, **look)
