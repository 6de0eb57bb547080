"""Catch the cheat: a model that is right for the wrong reason."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import streamlit as st

from sightglass.components.choices import sidebar
from sightglass.components.saving import slides
from sightglass.components.session import history_store, page, reopen, url_state
from sightglass.components.viewer import Pane
from sightglass.components.views import panels
from sightglass.components.widgets import Row, rows
from sightglass.deck import views
from sightglass.explain.phrases import percent
from sightglass.explain.whatif import shortcut_story
from sightglass.export import embedded_recipe
from sightglass.models.demo.showcase import STORIES

if TYPE_CHECKING:
    from sightglass.components.viewer import Look
    from sightglass.deck.scene import Scene
    from sightglass.explain import Explanation
    from sightglass.explain.whatif.shortcut_story import Step, StoryStep

STEPS = {
    "answer": "1 The answer",
    "look": "2 Where it looks",
    "without": "3 Without the clue",
    "borrowed": "4 The clue elsewhere",
    "yours": "5 Your own model",
}
LOOK = {"mode": "spotlight"}
"""What is cold is dark: the clue stands out at first sight."""
LISTED = 3
"""Predictions that are listed for each model."""
YOURS = (
    (
        "explore",
        "Explore",
        "visibility",
        "Explain one of your pictures: is the evidence on the thing that the class names?",
    ),
    (
        "batch",
        "Batch",
        "photo_library",
        "Explain many. A class whose mean map is hot away from the objects may be recognised by a shortcut.",
    ),
)
"""Page, title, icon, and what to look for there."""
ADD = "sightglass models add leaf.pth --image leaf.jpg"
NAMES = {"stamp": "First story", "weave": "Second story"}
"""What the clue is, the second step tells."""


@page.guard
def cheat() -> None:
    top = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    title, main = page.Title(st.container()), st.container()
    with top:
        step = _step()
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            story = _story()
            _forward(step)
    if step == "yours":
        title.markdown("## Now try your own model")
        with main:
            _yours(story)
        return
    current = _current(story, cast("Step", step))
    title.markdown(f"## {current.words}")
    with main:
        _pictures(current)
        if current.step == "answer":
            # The next steps show it: whoever is told has nothing to find.
            st.markdown(":material/psychology_alt: Is it right for the right reason? **Next** shows where it looked.")
            with st.container(horizontal=True, vertical_alignment="center"):
                _add_to_deck(current)
                slides.draw_added_link("cheat")
            return
        if current.aside:
            st.markdown(f":material/info: {current.aside}")
        # The numbers of all pictures come last.
        if current.step == "borrowed":
            st.markdown(f":material/fact_check: {current.proof}")
        with st.container(horizontal=True, vertical_alignment="center"):
            _onward(current)
            _add_to_deck(current)
            history_store.keep(_save(current), screen="cheat")
            slides.draw_added_link("cheat")


def _save(current: StoryStep) -> list[tuple[Explanation, int]]:
    return [(current.cheat, 0), (current.honest, 0)]


def _add_to_deck(current: StoryStep) -> None:
    def draft(look: Look) -> Scene:
        return views.of_story(current, {**LOOK, **look})

    slides.button("cheat", draft, _save(current))


def _current(story: str, step: Step) -> StoryStep:
    for model in (STORIES[story].cheat, STORIES[story].honest):
        sidebar.load(model)
    return shortcut_story.story_step(story, step, url_state.memory("picture-of-story") or 0)


def _yours(story: str) -> None:
    """Draw where to look for a shortcut in a model of one's own, beside the one that was found."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown(
            "A model that relies on a shortcut can be right on every picture of its test set. Two places to look for "
            "one:"
        )
        for name, label, icon, words in YOURS:
            with st.container(border=True, gap="xsmall"):
                st.page_link(page.script(name), label=label, icon=f":material/{icon}:", help=f"Go to {label}.")
                st.caption(words)
        st.caption("A model of your own is added by a command that looks at its file (docs/own-models.md):")
        st.code(ADD, language=None, wrap_lines=True)
    with right:
        st.markdown("### What a shortcut looks like")
        current = _current(story, "look")
        panels.show(current.image, _both(current), key="viewer-cheat-yours", height=380, look=LOOK)
        st.caption(f"{replace(current, step='answer').words} {current.words}")


def _step() -> str:
    return url_state.widget(
        st.segmented_control,
        "Step",
        STEPS,
        "answer",
        key="step",
        name="step",
        label_visibility="collapsed",
        help="The answer, the map, the picture without the clue, the clue on another picture, and your own model.",
    )


def _story() -> str:
    return url_state.widget(
        st.selectbox,
        "Story",
        NAMES,
        "stamp",
        key="story",
        name="story",
        label_visibility="collapsed",
        width=210,
        help="Two models that cheat, each in a way of its own.",
    )


def _forward(step: str) -> None:
    order = list(STEPS)
    last = step == order[-1]

    def forward() -> None:
        st.session_state["step"] = order[0] if last else order[order.index(step) + 1]
        if last:
            url_state.keep("picture-of-story", (url_state.memory("picture-of-story") or 0) + 1)

    st.button(
        "Another picture" if last else "Next",
        icon=":material/replay:" if last else ":material/arrow_forward:",
        on_click=forward,
        help="The same story on another picture." if last else "The next step.",
    )


def _pictures(current: StoryStep) -> None:
    if current.step == "answer":
        left, right = st.columns(2, gap="medium")
        with left:
            panels.show(current.image, [panels.plain(current.image)], key="viewer-cheat-picture", height=520)
        with right:
            st.markdown("### Predictions")
            # Which of the two cheats is for the next step to show.
            for name, explanation in (("One model", current.cheat), ("Another model", current.honest)):
                st.caption(name)
                listed = [Row(p.label, p.score, percent(p.score)) for p in explanation.predictions[:LISTED]]
                rows(listed, key=f"said-{explanation.model.id}-{current.image.sha256[:12]}")
        return
    shown = [panels.plain(current.image), *_both(current)]
    view = panels.show(current.image, shown, key="viewer-cheat", height=440, look=LOOK)
    panels.describe(view, [(current.cheat, 0), (current.honest, 0)], key="viewer-cheat-words")


def _both(current: StoryStep) -> list[Pane]:
    return [_heat(current.cheat, "The cheat"), _heat(current.honest, "The honest model")]


def _heat(explanation: Explanation, title: str) -> Pane:
    best = explanation.predictions[0]
    return Pane(maps=(panels.heat(explanation, 0, title=title, note=f"{best.label} {percent(best.score)}"),))


def _onward(current: StoryStep) -> None:
    """Draw the button that opens this picture and the model that cheats on Explore."""

    def take() -> None:
        reopen.result(current.image, current.cheat.recipe, embedded_recipe.view_of(current.cheat, 0))

    if st.button(
        "Look closer on Explore",
        icon=":material/visibility:",
        on_click=take,
        help="Open this picture and model there, with every control.",
    ):
        reopen.go()


cheat()
