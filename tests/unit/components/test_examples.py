"""Runs over a page's example, which sessions share."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import streamlit as st

from sightglass.components.session.jobs import background, explain_job
from sightglass.models import catalog

MAY_FAIL = threading.Event()


def fails(status: background.Status, cancel: object) -> None:
    MAY_FAIL.wait(10)
    raise ValueError("a bug of one model")


def waits(status: background.Status, cancel: Any) -> None:
    cancel.wait(60)


def test_one_that_failed_is_made_anew_and_those_of_others_stay() -> None:
    @st.cache_resource(show_spinner=False)
    def shared(model: str, whose: str, options: str, _make: Any) -> Any:
        return _make()

    def run(model: str, work: Any) -> Any:
        choices: Any = SimpleNamespace(model=catalog.spec(model), method="gradcam", options={})
        return explain_job.example(choices, shared, lambda options: background.Task(work, background.Status()))

    others = run("demo-cls-s", waits)
    failed = run("demo-cls-l", fails)
    MAY_FAIL.set()
    assert failed.finished(10)
    # The visit that sees the failure is told of it.
    assert run("demo-cls-l", fails) is failed
    assert run("demo-cls-l", fails) is not failed
    assert run("demo-cls-s", waits) is others
    others.cancel.set()
    assert others.finished(10)
