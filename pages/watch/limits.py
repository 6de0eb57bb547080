"""Choose the confidence limit of unsure answers."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.session import url_state
from sightglass.explain.phrases import percent
from sightglass.monitor.threshold import Threshold, threshold
from sightglass.pages.watch import log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sightglass.monitor import Observation
    from sightglass.monitor.reference import Known
    from sightglass.pages.watch.log import Chosen


@dataclass(frozen=True)
class Limits:
    """`by_model`: a threshold of each model, 0..1; none where the log's own judgement is shown. `drawn`: the one in the
    chart, 0 for none."""

    by_model: Mapping[str, float] = field(default_factory=dict)
    drawn: float = 0.0


def choose(chosen: Chosen, seen: Sequence[Observation]) -> Limits:
    """Draw the slider, which begins at the threshold that was learned, and say where it comes from."""
    trial = log.trial() if chosen.way == "trial" else None
    if trial is not None and trial.status.since is None:
        st.caption("Unsure: known when the first half is done.")
        return Limits()
    counts = Counter(one.model for one in seen)
    main = counts.most_common(1)[0][0]
    known = _get_known(chosen)
    learned = {model: _learn(chosen, model, known.get(model)) for model in counts}
    first = round(100 * learned[main].value)
    value = url_state.widget(
        st.slider,
        "Unsure below",
        range(101),
        first,
        # With another default it is another slider: the one before would keep its value.
        key=f"watch-unsure-{chosen.way}-{first}",
        name="unsure",
        read=int,
        min_value=0,
        max_value=100,
        format="%d %%",
        width=220,
        help="An answer with a lower score counts as unsure, here and below. It does not change what is logged.",
    )
    limit = percent(value / 100)
    if value != first:
        st.caption(f"Unsure: below {limit}.")
        return Limits(dict.fromkeys(counts, value / 100), value / 100)
    more = " Each other model has its own." if len(counts) > 1 else ""
    st.caption(f"Unsure: below {limit} ({learned[main].origin}).{more}")
    alone = learned[main].value if len(counts) == 1 else 0.0
    if chosen.way == "trial":
        # The first half has no threshold: the threshold was learned from it.
        return Limits(drawn=alone)
    return Limits({model: one.value for model, one in learned.items()}, alone)


def _get_known(chosen: Chosen) -> Mapping[str, Known]:
    # A damaged reference is reported beside it.
    with contextlib.suppress(Problem):
        found = chosen.monitor.reference()
        return found.models if found else {}
    return {}


def _learn(chosen: Chosen, model: str, known: Known | None) -> Threshold:
    if chosen.way == "trial":
        return Threshold(chosen.monitor.threshold or 0.0, "lowest quarter of the first half")
    return threshold(model, chosen.monitor.threshold, known, log.lines(chosen.monitor))
