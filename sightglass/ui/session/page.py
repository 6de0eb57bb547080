"""Draw a page and turn its errors into sentences."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sightglass.common.errors import Problem, from_machine
from sightglass.common.packaged import PAGES
from sightglass.common.work.progress import PausableStop
from sightglass.ui.session import state, visitor
from sightglass.ui.session.markdown import sentence

LOGGER = logging.getLogger(__name__)
# Before torch is imported. Its threads wait by spinning: where they share a core with anything else, a browser or a
# second visitor, one pass took 1,500 ms instead of 17 when measured. Leaving one core free costs little and avoids
# that.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))
# The script and the loop that sends its messages take turns. Python's 5 ms a turn, once for nearly every message and
# every file that a browser requests, add up to more than the work itself while torch is being imported.
sys.setswitchinterval(0.0005)
SOMETHING_BROKE = "This is a bug, not a problem with your picture: choose another model or method, or reload the page."


def script(name: str) -> str:
    """Return the full path of a page's file."""
    folder = PAGES / name
    return str(folder / "page.py" if folder.is_dir() else folder.with_suffix(".py"))


def show_errors(draw: Callable[[], None]) -> Callable[[], None]:
    """Decorate a page's function: report an error as a sentence."""

    @wraps(draw)
    def run_page() -> None:
        run = state.of(PageRun)
        # What is drawn on some runs only must not move what follows: Streamlit would mount a moved viewer anew.
        run.window, run.status = False, st.container(key="status-line")
        navigation = state.of(state.Navigation)
        navigation.arrived, navigation.page = navigation.page != draw.__name__, draw.__name__
        if navigation.arrived:
            run.leave()
        stops = run.list_stops()
        for stop in stops:
            stop.pause()
        visitor.resume()
        try:
            draw()
        except Exception as failure:
            show_failure(failure, "a page failed")
            # The picture stays visible.
            if isinstance(failure, Problem) and (image := state.of(state.Controls).picture) is not None:
                st.image(image.thumbnail(720), caption=image.name, alt=f"The chosen picture, {image.name}")
        finally:
            for stop in stops:
                stop.resume()
            visitor.keep()

    return run_page


@dataclass
class PageRun:
    """What goes on in the background of the page."""

    tests: PausableStop | None = None
    """Stops the tests of the page's maps."""
    maps: PausableStop | None = None
    """Stops the maps that are computed while the page shows others."""

    def list_stops(self) -> list[PausableStop]:
        return [stop for stop in (self.tests, self.maps) if stop is not None]

    def leave(self) -> None:
        """Stop what is computed for the page alone."""
        if self.maps is not None:
            self.maps.set()
        self.maps = None

    window: bool = False
    """Whether a window is open, which a run of the whole page would shut."""
    problem: str = ""
    """What the next run has to say of a callback."""
    status: DeltaGenerator | None = None
    """Where the page says what it does."""


def working() -> AbstractContextManager[object]:
    """Return the container at the window's foot, where a page says what it does (layout.css)."""
    return state.of(PageRun).status or nullcontext()


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """Yield a function for status text at the window's foot (layout.css)."""
    with working():
        line = st.empty()

    def show(text: str) -> None:
        line.caption(f":material/hourglass_top: {text}")

    try:
        yield show
    finally:
        line.empty()


def show_failure(failure: BaseException, event: str) -> None:
    """Show a problem's sentence; log a bug as the `event`."""
    st.error(sentence(describe_failure(failure, event)), icon=":material/error:")


def describe_failure(failure: BaseException, event: str) -> str:
    """Return a problem's sentence; log a bug as the `event`."""
    if isinstance(failure, Problem):
        return str(failure)
    problem = from_machine(failure)
    LOGGER.log(logging.ERROR if problem is None else logging.WARNING, event, exc_info=failure)
    return SOMETHING_BROKE if problem is None else str(problem)


@contextmanager
def report_problems(heading: str = "") -> Iterator[None]:
    """Show a Problem raised within as a sentence, below `heading`."""
    try:
        yield
    except Problem as problem:
        if heading:
            st.markdown(heading)
        st.error(sentence(problem), icon=":material/error:")


@contextmanager
def keeping_problem() -> Iterator[None]:
    """Store a Problem for `say_problem`; also a decorator for callbacks."""
    try:
        yield
    except Problem as problem:
        state.of(PageRun).problem = str(problem)


def say_problem() -> None:
    """Show the problem of the last callback, once."""
    run = state.of(PageRun)
    problem, run.problem = run.problem, ""
    if problem:
        st.error(sentence(problem), icon=":material/error:")


def button_for_window(
    label: str, draw: Callable[[], None], *, icon: str, help: str, key: str | None = None, title: str = "", **more: Any
) -> None:
    """Draw the button for a window, titled `label` by default."""
    if st.button(label, icon=icon, key=key, help=help):
        open_window(title or label, draw, icon=icon, **more)


def open_window(title: str, draw: Callable[[], None], **more: Any) -> None:
    """Open a window over the page, which runs again when it is shut."""
    state.of(PageRun).window = True
    st.dialog(title, on_dismiss="rerun", **more)(draw)()
