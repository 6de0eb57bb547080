"""The panel of a proof: slider and curves.

Nothing that a person does in it reruns the page: the picture and the map's order go to the browser once, curves follow
as they are computed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.components.declare import declare, packed_by_content
from sightglass.components.saving import slides
from sightglass.components.session import page, state, url_state
from sightglass.components.session.jobs import explain_job
from sightglass.explain.findings.reliability import of_proof
from sightglass.explain.proof import FILLINGS
from sightglass.explain.proof.checks import QUESTIONS
from sightglass.explain.proof.proof import COLUMNS, rows, similarity
from sightglass.explain.proof.support import SHOWN
from sightglass.export.proof import chart as proof_view
from sightglass.export.proof.chart import lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.components.session.jobs.background import Job
    from sightglass.explain import Explanation
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.proof.proof import Proof

POLL = 0.25
"""Seconds between two looks at what has come."""

_component = declare("proof", __file__)
_channel = declare("proof_channel", __file__)
_sight = declare("proof_sight", __file__, script="sight")


def draw(payload: bytes, curves: Json, *, key: str) -> None:
    """Draw the panel of `pack` and `curves`."""
    _component(key=key, data=payload)
    _channel(key=f"{key}-curves", data=curves, height=1)


STEPS = 20
"""Of the slider while the curves come."""
_EMPTY = {
    "no evidence": "nothing in the picture speaks for it, so no place is hotter than another",
    "flat": "it is the same everywhere, so no place is hotter than another",
    "not a number": "it holds values that are not numbers, which the model or the method made",
}


def nothing_to_prove(heatmap: Heatmap) -> str | None:
    """Return the reason against a proof in a sentence; None without one."""
    why = _EMPTY.get(heatmap.measured.state)
    return None if why is None else f"There is nothing to prove about the map of {heatmap.target.label}: {why}."


def pack(explanation: Explanation, index: int) -> tuple[str, bytes]:
    """Return an id and the payload of one map; see `pack_map`."""
    heatmap = explanation.heatmaps[index].measured
    return pack_map(explanation.image.pixels, heatmap.seen, heatmap.strength, heatmap.target.label)


def pack_map(
    pixels: NDArray[np.uint8], seen: tuple[int, int, int, int], content: NDArray[np.float32], label: str
) -> tuple[str, bytes]:
    """Return id and payload of a map (h, w): picture, blurred, order.

    `seen`: xyxy, the part of the picture that the map is of. Raises ValueError for a map that is the same everywhere.
    """
    left, top, right, bottom = seen
    parts = proof_view.slides(pixels[top:bottom, left:right], content)
    head = {"size": list(parts.size), "grid": list(parts.order.shape), "mean": list(parts.mean), "label": label}
    return packed_by_content(head, [parts.picture, parts.blurred, parts.order.tobytes()])


def curves(proof: Proof | None, *, detects: bool, of: str, whole: bool) -> Json:
    """Return a proof's curves, sentence, shares and table as texts.

    `of`: the id of `pack`. `detects`: the target is a box. `whole`: no curve is missing any more.
    """
    if proof is None:
        words = dict.fromkeys(("label", "sentence", "line", "every_line"), "")
        lists: Json = {name: [] for name in ("curves", "fillings", "columns", "table", "every_row")}
        return {"of": of, "steps": STEPS, "start": SHOWN, **words, **lists}
    all_shares = f"{proof_view.shares(proof, detects=detects, every=True)} {similarity(proof)}" if whole else ""
    return {
        "of": of,
        "label": proof.label,
        "fillings": [{"id": filling, "words": FILLINGS[filling]} for filling in proof.fillings],
        "curves": [asdict(line) for line in lines(proof)],
        "sentence": proof.sentence if whole or proof.support else "",
        "line": proof_view.shares(proof, detects=detects) if whole else "",
        "every_line": all_shares.strip(),
        "columns": list(COLUMNS),
        "table": rows(proof) if whole else [],
        "every_row": rows(proof, every=True) if whole else [],
        "start": SHOWN if proof.support is None else proof.support.start_share,
        # A saved proof may have others than those of the pages.
        "steps": proof.map.steps if whole else STEPS,
    }


Candidate = tuple[str, "Explanation", int]
"""A map that can be proved: its name among those of the page, its explanation, its index there."""
_TAB = "trust-test"
_READ = """
**Hide the hottest** covers the places that the map calls most important, the hottest first. If the answer hangs on
them, its score falls at once.

**Keep only the hottest** covers everything else. If those places are enough, the score stays.

**The thin lines** cover as much elsewhere: by the verdict's strongest other map, in random places, the middle, edges,
and what is hot for another class. Compare lines with each other, not with 0 or 100 %: a model has not learnt from
half-covered pictures.

**The verdict** is a test of its own, the same for every map. Does this map matter more to the answer than maps of other
pictures, the middle, and itself moved or mirrored?
"""
TESTS: dict[str, str] = {question: words.capitalize() for question, words in QUESTIONS.items()}
"""The tabs, by the question of a seal that they answer, in the order of its marks."""


@dataclass
class OpenPanels:
    """The pages whose panel is open."""

    pages: set[str] = field(default_factory=set)
    read: bool = False
    """Whether the address was read."""
    clicks: int = 0
    """How often a panel was opened by hand: it then comes into sight."""


def is_open() -> bool:
    """Return whether the page's panel is open, at first by address."""
    opened, name = state.of(OpenPanels), state.of(state.Navigation).page
    if not opened.read:
        opened.read = True
        if st.query_params.get("prove") == "1":
            opened.pages.add(name)
    url_state.write("prove", name in opened.pages, False)
    return name in opened.pages


def button() -> None:
    """Draw the button for opening or closing the panel."""
    label, icon = ("Close the tests", "close") if is_open() else ("Can I trust this?", "science")
    help = "Three tests of the map: hide what it shows, make it with random weights, and change the picture slightly."
    st.button(label, icon=f":material/{icon}:", key="prove-it", on_click=_turn, help=help)


def _turn() -> None:
    opened, name = state.of(OpenPanels), state.of(state.Navigation).page
    if name in opened.pages:
        opened.pages.discard(name)
        explain_job.stop()
    else:
        opened.pages.add(name)
        opened.clicks += 1


def open_test(test: str, names: Sequence[str], name: str) -> None:
    """Open the panel at a map's test, from the next drawing."""
    opened = state.of(OpenPanels)
    opened.pages.add(state.of(state.Navigation).page)
    opened.clicks += 1
    url_state.put(_TAB, test, drawn_only=True)
    if len(names) > 1:
        url_state.put(_choice_key(names), str(list(names).index(name)), drawn_only=True)


def of_map(explanation: Explanation, index: int) -> list[Candidate]:
    """Return the page's only map, if any."""
    heatmaps = explanation.heatmaps
    return [(heatmaps[index].target.label, explanation, index)] if index < len(heatmaps) else []


def panel(candidates: Sequence[Candidate]) -> None:
    """Draw the open panel: a map's test and the choice of both."""
    candidates = [candidate for candidate in candidates if candidate[1].finished]
    if not candidates or not is_open():
        return
    with st.container(key="proof"):
        with st.container(horizontal=True, vertical_alignment="top"):
            st.markdown("### Can I trust this?", width="content")
            test = url_state.widget(
                st.segmented_control,
                "Test",
                TESTS,
                "answer",
                key=_TAB,
                name="test",
                label_visibility="collapsed",
                help="Whether the map matters to the answer, depends on the model, and holds still.",
            )
            _, explanation, index = candidates[_which([name for name, *_ in candidates])]
            if len(candidates) > 1:
                # Of one map, the page's own button does the same.
                draft, labels = slides.of_map(explanation, index), ("Add this map to deck", "Present this map")
                slides.button("proof", draft, labels=labels)
                slides.draw_added_link("proof")
        if (why := nothing_to_prove(explanation.heatmaps[index])) is not None:
            explain_job.stop()
            st.info(why, icon=":material/science:")
            return
        # Brings the panel into sight where it was opened by hand once more.
        _sight(key="proof-sight", data={"clicks": state.of(OpenPanels).clicks}, height=1)
        if test != "answer":
            # Its tables are drawn with pandas.
            from sightglass.components.proof import map_tests

            explain_job.stop()
            (map_tests.draw_scramble if test == "model" else map_tests.draw_stability)(explanation, index)
            return
        polls = False
        # It is raised again where it is shown.
        with suppress(Exception):
            polls = _goes_on(explain_job.prove(explanation, index)[1])
        st.fragment(_proof, run_every=POLL if polls else None)(explanation, index, polls)


def _which(names: list[str]) -> int:
    """Let a person choose one of several maps."""
    if len(names) < 2:
        return 0
    chosen = url_state.widget(
        st.selectbox,
        "Map to test",
        {str(i): name for i, name in enumerate(names)},
        "0",
        key=_choice_key(names),
        label_visibility="collapsed",
        width=240,
        help="Which of the maps on this page is tested.",
    )
    return int(chosen)


def _choice_key(names: Sequence[str]) -> str:
    return f"proof-of-{'-'.join(names)}"


def _goes_on(job: Job[Proof] | None) -> bool:
    return job is not None and not job.cancel.is_set()


def _proof(explanation: Explanation, index: int, polls: bool) -> None:
    """Draw the proof so far, in a fragment repeated while it `polls`."""
    try:
        result, job = explain_job.prove(explanation, index)
    except Exception as failure:
        if polls:
            st.rerun()
        page.show_failure(failure, "a proof failed")
        if not isinstance(failure, Problem):
            _restart("Start the proof again.")
        return
    if polls and not _goes_on(job):
        # Only a run of the whole page ends the polling.
        st.rerun()
    if job is not None:
        _progress(job)
    else:
        # As high as the progress was: what somebody drags below does not move when it ends.
        with st.popover("How to read this", icon=":material/help:", help="What is covered, and what the lines mean."):
            st.markdown(_READ)
    key = explain_job.key_of(explanation, index)
    picture_id, data = state.latest("proof-picture", key, lambda: pack(explanation, index))
    if job is not None:
        result = job.first_result(explain_job.FIRST)
    drawn = curves(result, detects=bool(explanation.own(index)), of=picture_id, whole=job is None)
    if result is not None and job is None:
        for finding in of_proof(explanation.model.task, explanation.statistics[index], result):
            st.markdown(f":material/warning: {finding.text}")
    draw(data, drawn, key="proof-panel")


def _progress(job: Job[Proof]) -> None:
    """Draw the proof's progress and a button to stop or restart it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if job.cancel.is_set():
            st.caption(f"Stopped: {job.status.words}.", width="content")
            _restart("Start the proof again from the beginning.")
        else:
            st.progress(min(1.0, job.status.share), job.status.words)
            stop = "Stop the proof; what was computed stays."
            st.button("Stop", icon=":material/stop_circle:", key="stop-proof", on_click=job.cancel.set, help=stop)


def _restart(help: str) -> None:
    """Draw the button for restarting a stopped or failed proof."""
    if st.button("Start again", icon=":material/replay:", key="restart-proof", on_click=explain_job.stop, help=help):
        st.rerun()
