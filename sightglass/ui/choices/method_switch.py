"""The switch *Quick · Sharp · Tested* of the panel, and the quick maps that stand until the tested ones are known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.explain.methods import METHODS
from sightglass.ui.session import control_table, state
from sightglass.ui.session.control_table import SHARP, TESTED, Page
from sightglass.ui.session.jobs import tested_job
from sightglass.ui.session.jobs.tested_job import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain import Explainer, Explanation
    from sightglass.ui.session.state import Choices

KEY = "method-switch"
HELP = (
    "Quick: the method of the menu, from one pass. Sharp: fine maps, from gradients of pixels. Tested: several maps, "
    "each tested by hiding and keeping what it shows, in up to 40 passes, while you look at the quick one."
)


class MethodSwitch:
    """The switch of one run of a page."""

    standing: Choices
    """Those of the maps that stand first: in place of tested ones they are by a quick method."""
    wanted: Sequence[Wanted]
    """The tested maps that are not known yet, once `swap` was asked for them."""

    def __init__(self, choices: Choices, explainer: Explainer) -> None:
        shown = Page(explainer)
        self._chosen, self._model = choices.method, explainer.model
        self.standing, self.wanted = choices, ()
        control_table.keep_quick(shown, choices.method)
        self._quick = control_table.find_quick(shown) if control_table.can_test(shown) else None
        if self.tests:
            self.standing = replace(choices, method=self._quick or choices.method)
        # What was computed for another page was stopped as it was left.
        if not self.tests or state.of(state.Navigation).arrived:
            tested_job.stop()

    @property
    def tests(self) -> bool:
        """Whether quick maps stand until tested ones are known."""
        return self._chosen == TESTED and self._quick is not None

    def swap(self, maps: Sequence[Wanted]) -> list[Explanation]:
        """Return explanations with the tested maps, where these were chosen and are known; else the given ones."""
        given = [each.explanation for each in maps]
        maps = [each for each in maps if each.places]
        found = tested_job.find(maps) if self.tests and maps else None
        if found is None:
            self.wanted = maps if self.tests else ()
            return given
        tested = iter(found)
        return [next(tested) if explanation.heatmaps else explanation for explanation in given]

    @property
    def waits(self) -> bool:
        """Whether tested maps are about to take the place of these."""
        return bool(self.wanted) and tested_job.is_coming(self.wanted)

    @property
    def until(self) -> str:
        """What a map's line says while the tested one is not known; empty otherwise."""
        if not self.waits:
            return ""
        name = METHODS[self.standing.method].name_for(self._model.task)
        return f"By {name} until the tested map is known."

    def draw(self) -> None:
        """Draw the switch, where the model has all three kinds of maps.

        It is the choice of the method in the options: a method of neither kind leaves it unpressed.
        """
        if self._quick is None:
            return
        own = self._quick == self._model.method
        called = "Quick" if own else f"Quick: {METHODS[self._quick].name_for(self._model.task)}"
        names = {self._quick: called, SHARP: "Sharp", TESTED: "Tested"}
        widgets = st.session_state
        widgets[KEY] = self._chosen if self._chosen in names else None
        with st.container(horizontal=True, vertical_alignment="center", key="method"):
            st.segmented_control(
                "How the map is made",
                [*names],
                format_func=names.__getitem__,
                key=KEY,
                required=True,
                on_change=lambda: control_table.set_options({"method": widgets[KEY]}),
                label_visibility="collapsed",
                width="content",
                help=HELP,
            )
            if self.wanted:
                tested_job.follow(self.wanted)
