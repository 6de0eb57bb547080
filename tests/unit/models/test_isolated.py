"""The process that forks those of received files: what it is asked while it ends."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sightglass.models import isolated
from tests.servers import until

ENDS = """
import sys; sys.path[:] = {path!r}
import atexit, pathlib, time
from sightglass.models import isolated
atexit.register(time.sleep, 600)
atexit.register(pathlib.Path({sign!r}).touch)
isolated.IDLE_SECONDS = 0.1
isolated.fork_children()
"""
"""A process that forks children, and ends as slowly as one that has imported much."""


@pytest.mark.skipif(not isolated.FORKS, reason="no forking process")
def test_forking_process_that_ends_when_idle_loses_no_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign, started = tmp_path / "ends", list[subprocess.Popen[bytes]]()

    def start(_function: str, **streams: Any) -> subprocess.Popen[bytes]:
        code = ENDS.format(path=[*map(os.path.abspath, sys.path)], sign=str(sign))
        started.append(subprocess.Popen([sys.executable, "-c", code], **streams))
        return started[-1]

    monkeypatch.setattr(isolated, "_SERVER", [])
    with monkeypatch.context() as slow_end:
        slow_end.setattr(isolated, "_start", start)
        isolated._server()
        until(sign.exists)
    try:
        assert started[0].poll() is None
        assert isolated.run("m", 0, int, max, [3, 4]) == 4
    finally:
        started[0].kill()
        for process, channel in isolated._SERVER:
            channel.close()
            process.wait()
