"""A fragment that a page does not have any more is not run: Streamlit would empty the page."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData

from sightglass.components.streamlit_internals import skip_lost_fragments


def test_only_runs_of_fragments_that_are_all_gone_are_left_out() -> None:
    ran: list[Any] = []
    run = skip_lost_fragments(lambda _runner, request: ran.append(request))
    here: Any = SimpleNamespace(contains=lambda key: key == "here")
    taken: list[Any] = []
    runner = SimpleNamespace(_fragment_storage=here, _session_state=SimpleNamespace(on_script_will_rerun=taken.append))
    typed: Any = object()
    whole, found = (RerunData(fragment_id_queue=queue) for queue in ([], ["gone", "here"]))
    lost, note = (RerunData(fragment_id_queue=["gone"], widget_states=states) for states in (None, typed))
    for request in (whole, lost, found, note):
        run(runner, request)
    assert ran == [whole, found]
    # What was typed as the page was left is kept.
    assert taken == [typed]


def test_streamlit_has_what_that_relies_on() -> None:
    assert MemoryFragmentStorage().contains("gone") is False
    assert callable(ScriptRunner._run_script)
