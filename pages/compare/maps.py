"""The maps of several models on one picture: side by side or one at a time, with their numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.explain.maps.statistics import share_difference
from sightglass.explain.phrases import count, download
from sightglass.explain.rendering.marks import box_mark
from sightglass.explain.tasks.wording import Answer
from sightglass.explain.whatif import touch
from sightglass.ui import widgets
from sightglass.ui.choices import model_picker
from sightglass.ui.instruments import Numbers, instruments, numbers_of
from sightglass.ui.session import url_state
from sightglass.ui.session.jobs import time_job
from sightglass.ui.session.markdown import sentence
from sightglass.ui.viewer import Box, Pane
from sightglass.ui.views import panels
from sightglass.ui.views.comparison_table import NONE, ComparisonTable, without_common_start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explanation, Image
    from sightglass.explain.comparison.models import Comparison
    from sightglass.models.spec import ModelSpec
    from sightglass.ui.choices.method_switch import MethodSwitch
    from sightglass.ui.viewer import Fact, View

HEIGHT_BESIDE = 464
"""CSS pixels of pictures side by side in a window of 900: below them the first numbers are in sight."""
HEIGHT_LARGE = 590
"""CSS pixels of the picture in a window of 900."""
SHOWN = "shown"
"""In the address the number of the picture in sight, from 1, where it is not the first."""
OWN_ANSWER = "What the model says by itself, whatever its map is of."
MEASURING = "timing…"
NOT_TIMED = "cannot be measured"


@dataclass(frozen=True)
class Maps:
    """The maps of a comparison on the page."""

    comparison: Comparison
    models: Sequence[ModelSpec]
    switch: MethodSwitch

    @cached_property
    def table(self) -> ComparisonTable:
        """How similar the maps are, two by two."""
        return ComparisonTable(without_common_start(self.comparison.names), self.comparison.agreement)

    def draw_beside(self) -> DeltaGenerator:
        """Draw a picture for each model; return where a list belongs."""
        url_state.set_url(SHOWN, None)
        arrangement = panels.arrange(self._image, len(self._panes), highest=HEIGHT_BESIDE)
        look: dict[str, Any] = {"height": arrangement.height, "columns": arrangement.columns}
        look |= {"keys": self._keys(len(self._panes)), "spread": True, "touch": self._touch}
        look |= {"line": self.switch.until}
        stage, numbers = arrangement.places()
        with stage:
            view = panels.draw_viewer(self._image, self._panes, key="viewer-compare", **look)
        with numbers:
            self._draw_numbers(view)
            panels.draw_bars(self._list_answers(self._panes), key="compare-bars")
        return st.container()

    def draw_large(self) -> DeltaGenerator:
        """Draw one picture with a list of the models and their difference.

        Return where more of a list belongs.
        """
        panes = [*self._panes, *self._list_differences()]
        keys = self._keys(len(panes))
        linked = url_state.read_once(SHOWN)
        if linked.isdecimal():
            st.session_state.setdefault(self._list_key, {"chosen": int(linked) - 1})
        left, right = st.columns(panels.COLUMNS, gap="medium")
        with right.container(key="answers"):
            place = widgets.rows(self._list_answers(panes), key=self._list_key, keys=keys)
            url_state.set_url(SHOWN, place + 1, 1)
            more = st.container()
        look: dict[str, Any] = {"key": "viewer-large", "height": HEIGHT_LARGE, "beside": True}
        look |= {"keys": keys, "touch": self._touch, "line": self.switch.until}
        with left, st.container(key="stage"):
            view = panels.draw_viewer(self._image, panes, **look)
        self._draw_numbers(view)
        return more

    def _list_answers(self, panes: Sequence[Pane]) -> list[Answer]:
        """Return a row for each picture, with the score of the explained class."""
        bars = [*map(_bar, self.comparison.explanations), None]
        return [Answer(pane.title, pane.note, bar) for pane, bar in zip(panes, bars, strict=False)]

    @property
    def _touch(self) -> str:
        """The key by which the picture can be covered."""
        return touch.register_models(dict(zip(self.comparison.names, self.comparison.explanations, strict=True)))

    def show_large(self, place: int) -> None:
        """Show the large picture of a model from the next run on.

        `place`: index of the model.
        """
        url_state.link(arrangement="large")
        st.session_state[self._list_key] = {"chosen": place}

    def _draw_numbers(self, view: View) -> None:
        """Draw the instruments and the table below the maps; time the models meanwhile."""
        self.switch.draw()
        numbers = [self._numbers(place) for place in range(len(self.models))]
        instruments(view, numbers, more=self._list_costs(), names=self.table.names)
        if why := time_job.failure(self.comparison):
            st.caption(f":material/info: The models cannot be timed: {sentence(why)}")
        time_job.follow(self.comparison)

    def _numbers(self, place: int) -> Numbers | str:
        """Return the numbers of a model's map, or why it has none."""
        explanation = self.comparison.explanations[place]
        return numbers_of(explanation, 0) if explanation.heatmaps else self.comparison.why_no_map(place)

    def _list_costs(self) -> dict[str, list[str]]:
        """Return what the models cost, by the names of the rows."""
        explanations = self.comparison.explanations
        waiting = NOT_TIMED if time_job.failure(self.comparison) else MEASURING
        sizes = [download(model_picker.megabytes(each.model)).removeprefix("about ") for each in explanations]
        return {
            "Time": self.comparison.times or [waiting] * len(explanations),
            "Size": [size or NONE for size in sizes],
            "Parameters": [count(each.evidence.loaded.parameters) for each in explanations],
        }

    @property
    def _image(self) -> Image:
        return self.comparison.explanations[0].image

    @property
    def _list_key(self) -> str:
        """Key of the list of models in the session."""
        return f"compared-{'-'.join(self.comparison.names)}"

    @cached_property
    def _panes(self) -> list[Pane]:
        return [self._pane(place) for place in range(len(self.models))]

    def _pane(self, place: int) -> Pane:
        """Return a model's picture; dashed: objects that it misses."""
        explanation = self.comparison.explanations[place]
        name = self.comparison.names[place]
        task = explanation.task
        note = task.wording.answer(explanation)
        dashed = self._list_missed(place)
        pane = Pane(title=name, note=note, boxes=dashed, facts=self._facts(place))
        if not explanation.heatmaps:
            return replace(pane, note=f"{note}, no map") if explanation.predictions else pane
        note = task.wording.name_map(explanation, 0) if task.names_classes else note
        if any(prediction not in explanation.predictions for prediction in explanation.own(0)):
            note = f"misses it: {note}"
        boxes = tuple(box for box in panels.boxes(explanation, 0) if box.chosen)
        maps = (panels.to_map(explanation, 0, title=name, note=note, half=False),)
        return replace(pane, maps=maps, note=note, boxes=(*boxes, *dashed) or None)

    def _list_missed(self, place: int) -> tuple[Box, ...]:
        """Return the dashed boxes of the objects that a model misses."""
        absent = [each.prediction for each in self.comparison.objects if each.places[place] is None]
        return tuple(
            Box(missed.box, f"{missed.label} missed", marks=(replace(box_mark(missed.box), hollow=True),))
            for missed in absent
            if missed.box
        )

    def _facts(self, place: int) -> tuple[Fact, ...]:
        """Return how similar a model's map is to the others.

        Where a map is not of its model's own answer, all models have a row for their own answers.
        """
        explanation = self.comparison.explanations[place]
        similar = self.table.facts(place)
        if all(map(_shows_own_answer, self.comparison.explanations)):
            return similar
        return ("Answer", explanation.task.wording.answer(explanation), OWN_ANSWER), *similar

    def _list_differences(self) -> list[Pane]:
        """Return the difference of the first and the last map, if any.

        Both are of one class or object. While none is chosen for all models, the difference says so; where there
        can be no difference, the list is empty.
        """
        comparison = self.comparison
        if (ends := comparison.ends) is not None:
            first, last = ends
            values = share_difference(comparison.maps[first], comparison.maps[last])
            sides = (comparison.names[first], comparison.names[last])
            return [Pane(maps=(panels.difference_map(values, comparison.common, sides),), title="Difference")]
        if comparison.subject is None and comparison.shared is not None:
            kind = "object" if comparison.objects else "class"
            return [Pane(title="Difference", note=f"choose one {kind} for all")]
        return []

    def _keys(self, panes: int) -> tuple[str, ...]:
        """Return the key of each large picture.

        It is the model's size where different sizes of one family are compared; other pictures have none, "".
        """
        sizes = [model.size for model in self.models]
        families = {model.family for model in self.models}
        exact = len(families) == 1 and len(set(sizes)) == len(sizes) and set(sizes) <= {"s", "m", "l"}
        return (*(size if exact else "" for size in sizes), "")[:panes]


def _shows_own_answer(explanation: Explanation) -> bool:
    if not explanation.heatmaps or not explanation.predictions:
        return False
    return explanation.heatmaps[0].target.label == explanation.predictions[0].label


def _bar(explanation: Explanation) -> float | None:
    score = explanation.task.scorer.score(explanation, 0) if explanation.heatmaps else None
    return None if score is None else explanation.task.wording.bar(score)
