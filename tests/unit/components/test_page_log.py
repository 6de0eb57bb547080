"""Each run of a page has an id of its own in the log, which begins with that of the browser's connection."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from sightglass.common import logs
from sightglass.components.session import page
from sightglass.components.session.jobs import background


@pytest.mark.parametrize("connection", ["from-a-proxy", None])
def test_a_run_s_lines_have_its_id_in_its_threads_too(
    connection: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"X-Request-ID": connection} if connection else {}
    monkeypatch.setattr(page.st, "context", SimpleNamespace(headers=headers))
    runs: list[list[str]] = []
    with caplog.at_level(logging.INFO, "sightglass"):
        for _ in range(2):
            with page.log_run("explore"):
                seen = [logs.request_id()]
                task = background.Task(
                    lambda status, cancel, seen=seen: seen.append(logs.request_id()), background.Status()
                )
                assert task.finished(10)
                runs.append(seen)
    assert all(seen[0] == seen[1] for seen in runs)
    assert runs[0] != runs[1]
    assert all(seen[0].startswith(f"{connection}.") == bool(connection) for seen in runs)
    assert [record.page for record in caplog.records] == ["explore"] * 2
    assert logs.request_id() == ""
