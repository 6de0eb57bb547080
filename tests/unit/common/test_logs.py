"""Logs as JSON: one object a line, with the id of the request; libraries hand over what they have to say."""

from __future__ import annotations

import io
import json
import logging
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sightglass.common import logs, users
from sightglass.components import streamlit_internals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Read the lines on stderr; every logger is as it was afterwards."""
    root, found = logging.root, [logging.root, *map(logging.getLogger, (logs.OWN, "streamlit.of_a_test"))]
    before = [(logger, logger.level, logger.propagate, logger.handlers[:]) for logger in found]
    monkeypatch.setenv("SIGHTGLASS_LOG", "JSON")
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    logging.captureWarnings(False)
    for logger, level, propagate, handlers in before:
        logger.setLevel(level)
        logger.propagate, logger.handlers[:] = propagate, handlers
    assert root.handlers == before[0][3]


def test_each_line_is_an_object_with_the_request_it_is_about(written: Lines) -> None:
    logs.install()
    log = logging.getLogger("sightglass.of_a_test")
    with logs.working_on("abc"):
        log.info("explained %s", "a\nb", extra={"milliseconds": 1.5})
        thread = threading.Thread(target=users.bind_person(lambda: log.info("in a thread")))
        thread.start()
        thread.join()
    try:
        raise ValueError("wrong")
    except ValueError:
        log.exception("failed")
    first, second, third = written()
    assert first == first | {"level": "info", "logger": "sightglass.of_a_test", "message": "explained a\nb"}
    assert (first["request"], first["milliseconds"], second["request"]) == ("abc", 1.5, "abc")
    assert first["time"].endswith("+00:00")
    assert "request" not in third
    assert third["error"].endswith("ValueError: wrong")


def test_libraries_with_handlers_of_their_own_hand_over_what_they_say(
    written: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = io.StringIO()
    log = logging.getLogger("streamlit.of_a_test")
    log.propagate = False
    log.addHandler(logging.StreamHandler(theirs))
    later = logging.getLogger("streamlit.of_a_test.later")
    later.addHandler(logging.StreamHandler(theirs))
    streamlit = SimpleNamespace(setup_formatter=None)
    monkeypatch.setattr(streamlit_internals, "_loggers", streamlit)
    logs.install()
    streamlit_internals.hand_over_loggers()
    assert streamlit.setup_formatter is not None
    streamlit.setup_formatter(later)
    log.warning("one")
    later.warning("two")
    assert [line["message"] for line in written()] == ["one", "two"]
    assert theirs.getvalue() == ""


@pytest.mark.parametrize("given", [None, "", "two words", "line\nbreak", "x" * 129, 'quoted"'])
def test_an_id_that_does_not_belong_in_a_log_is_replaced(given: str | None) -> None:
    made = logs.new_id(given)
    assert made not in (given, logs.new_id(given))
    assert logs.new_id(made) == made
