"""Seal: three marks for each map of a page.

The browser asks for the tests once the map is on the screen, and then again until all marks are there: each time this
fragment alone runs, so that neither the map nor a click waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.settings import settings
from sightglass.common.work.progress import PausableStop
from sightglass.components import proof
from sightglass.components.declare import declare, no_callback
from sightglass.components.session import page, state
from sightglass.components.session.jobs.background import Job
from sightglass.explain.faithfulness import seal
from sightglass.explain.findings.randomisation import describe_expected
from sightglass.explain.proof.seal import QUESTIONS, known, untested

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.common.work.progress import Progress
    from sightglass.components.proof import Candidate
    from sightglass.explain import Explanation
    from sightglass.explain.proof.seal import Seal


Unfinished = dict[Hashable, "Seal"]


@dataclass(frozen=True)
class Sealable:
    """A map on a page, and how its seal is made."""

    name: str
    """Among the page's maps."""
    label: str
    """Of what the map explains, for a seal that could not be made."""
    key: Hashable
    """By which the seal is held: `explain.proof.seal.known`."""
    make: Callable[..., Any]
    """Returns the seal and holds it; takes `progress`, `cancel` and `partial`."""
    expected: str = ""
    """What is known of such maps before this one is tested."""

    @property
    def known(self) -> Seal | None:
        """The seal, if it was made in this process."""
        return known(self.key)


def of_explanation(name: str, explanation: Explanation, index: int) -> Sealable:
    """Return one map of an explanation, to be sealed."""
    label = explanation.heatmaps[index].target.label
    make, expected = partial(seal.seal, explanation, index), describe_expected(explanation, index)
    return Sealable(name, label, explanation.seal_key(index), make, expected)


@dataclass
class Seals:
    """The session's tests that run, or failed, and of which maps."""

    keys: tuple[Hashable, ...] = ()
    job: Job[Unfinished] | None = None


def _seal_each(
    maps: Sequence[Sealable],
    *,
    progress: Progress,
    cancel: threading.Event,
    partial: Callable[[Unfinished], None],
) -> Unfinished:
    """Make the seals of some maps, one after the other; return them as far as they come."""
    seals: Unfinished = {}
    for one in maps:

        def grow(seal: Seal, key: Hashable = one.key) -> None:
            seals[key] = seal
            partial(seals)

        one.make(progress=progress, cancel=cancel, partial=grow)
    return seals


def follow(maps: Sequence[Sealable], *, begin: bool) -> tuple[list[Seal | None], bool]:
    """Return the seals of a page's maps as far as they have come, and whether tests are under way.

    Tests of other maps stop. `begin`: start what is missing.
    """
    held, keys = state.of(Seals), tuple(one.key for one in maps)
    if held.job is not None and (held.keys != keys or held.job.abandoned):
        held.job.cancel.set()
        held.job = None
    missing = [one for one in maps if one.known is None]
    if missing and held.job is None and begin:
        held.keys, stop = keys, PausableStop()
        state.of(page.PageRun).tests = stop
        held.job = Job(partial(_seal_each, missing), cancel=stop)
    if held.job is not None:
        held.job.polled()
    works = held.job is not None and not held.job.finished()
    unfinished = (held.job and held.job.partial) or {}
    found = [one.known or unfinished.get(one.key) for one in maps]
    if held.job is not None and not works and (failure := held.job.status.failure) is not None:
        problem = page.find_problem(failure, "a map could not be sealed") or page.SOMETHING_BROKE
        why = str(problem)
        found = [
            made if made is not None and made.whole else untested(one.label, why)
            for made, one in zip(found, maps, strict=True)
        ]
    return found, works


KEY = "seal"
HEIGHT = 24
"""CSS pixels of the marks of one map."""
_component = declare("seal", __file__, html='<div class="component seals"></div>')


@dataclass
class Clicked:
    """The last click on a mark: a run that it asks for must not answer it again."""

    last: Any = None


def draw(maps: Sequence[Candidate]) -> None:
    """Draw the marks of each of a page's maps that can be tested, with the maps' names if there are several.

    A click on a mark opens its test in the page's panel.
    """
    tested = [
        of_explanation(*one) for one in maps if one[1].finished and one[1].heatmaps[one[2]].measured.state == "ok"
    ]
    every = [name for name, *_ in maps]
    if tested and settings().seal:
        _draw(tested, every, len(every) > 1, [bool(_shows(one.known)) for one in tested])


def keep_place() -> None:
    """Leave the room of one map's marks, while that map is being made."""
    if settings().seal:
        st.space(HEIGHT)


def _shows(found: Seal | None) -> str:
    return "" if found is None else found.shows


@st.fragment
def _draw(maps: Sequence[Sealable], every: list[str], labels: bool, said: list[bool]) -> None:
    """`said`: for which maps the page says already that they do not depend on the model."""
    given: dict[str, Any] = st.session_state.get(KEY) or {}
    wanted = given.get("open")
    if isinstance(wanted, dict) and wanted != state.of(Clicked).last and _is_click(wanted, every):
        state.of(Clicked).last = wanted
        proof.open_test(wanted["test"], every, wanted["name"])
        st.rerun()
    found, works = follow(maps, begin=given.get("ask") is not None)
    if _must_redraw(found, said):
        st.rerun()
    rows = [_row(one.name if labels else "", one, made) for one, made in zip(maps, found, strict=True)]
    data = {"rows": rows, "works": works}
    _component(key=KEY, data=data, on_ask_change=no_callback, on_open_change=no_callback)


def _must_redraw(found: Sequence[Seal | None], said: Sequence[bool]) -> bool:
    """Return whether the page has to say what these seals have found; `said`: of which maps it does already.

    Not before all three marks are there: only then does the rest of the page know them. The first map has the headline;
    for the others the page is drawn again once, not for each.
    """
    whole = [made is not None and made.whole for made in found]
    news = [done and bool(_shows(made)) and not one for done, made, one in zip(whole, found, said, strict=True)]
    return news[0] or (any(news) and all(whole))


def _is_click(wanted: Json, every: Sequence[str]) -> bool:
    return wanted.get("test") in QUESTIONS and wanted.get("name") in every


def _row(label: str, of: Sealable, made: Seal | None) -> Json:
    """Return the marks of one map as they are drawn: what is still to come has no answer."""
    marks: list[Json] = []
    for question, words in QUESTIONS.items():
        mark = None if made is None else made[question]
        if mark is None:
            expected = of.expected if question == "model" else ""
            sentence = " ".join(filter(None, ("This is being tested.", expected)))
            marks.append({"test": question, "words": words, "answer": "", "sentence": sentence})
        else:
            told = {"words": mark.said, "answer": mark.answer, "sentence": mark.sentence}
            marks.append({"test": question, **told})
    return {"label": label, "name": of.name, "marks": marks}
