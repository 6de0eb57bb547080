"""Servers in processes of their own: wait until they answer, and ask them over HTTP."""

import os
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any
from unittest.mock import patch

from tests.waits import patience


def until(true: Callable[[], object], seconds: float = 20.0, describe: Callable[[], object] = lambda: "") -> None:
    """Wait for a condition; fail, with what there is to say of it, where it does not hold within these seconds.

    They are those of a quiet machine: see `patience`.
    """
    end = time.monotonic() + patience(seconds)
    while not true():
        assert time.monotonic() < end, describe()
        time.sleep(0.01)


def until_it_answers(address: str, *processes: Popen[Any], log: Path | None = None, seconds: float = 90.0) -> None:
    """Wait until a server answers at an address, and not with an error; fail where one of the processes ends."""

    def said() -> str:
        return log.read_text("utf-8") if log else "the server does not answer"

    def answers() -> bool:
        assert all(process.poll() is None for process in processes), said()
        try:
            urllib.request.urlopen(address, timeout=patience(5)).close()
        except OSError:
            return False
        return True

    until(answers, seconds, said)


@contextmanager
def running(command: list[str], address: str, *, log: Path | None = None, **options: Any) -> Iterator[None]:
    """Run a server, which must answer at an address, until the block ends."""
    process = Popen(command, **options)
    try:
        until_it_answers(address, process, log=log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(patience(20))
        except TimeoutExpired:
            process.kill()
            process.wait()


def visit(address: str, page: str = "", query: str = "", **options: Any) -> list[Any]:
    """Return the messages of one visit to a page of a dashboard, until it is drawn."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.sync.client import connect

    messages, url = [], f"{address.replace('http', 'ws', 1)}/_stcore/stream"
    with connect(url, **{"subprotocols": ["streamlit"], "max_size": None} | options) as socket:
        request = BackMsg()
        request.rerun_script.page_name, request.rerun_script.query_string = page, query
        socket.send(request.SerializeToString())
        while not messages or messages[-1].WhichOneof("type") != "script_finished":
            messages.append(ForwardMsg.FromString(socket.recv(timeout=patience(60))))
    return messages


@contextmanager
def listening(app: Any, ws: str = "none", **options: Any) -> Iterator[str]:
    """Serve an ASGI application in a thread with uvicorn's options; yield its address."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as line:
        # With its own settings of the log uvicorn would change the process's loggers for all tests that follow.
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws=ws, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [line]}, daemon=True)
        thread.start()
        until(lambda: server.started)
        yield f"http://127.0.0.1:{line.getsockname()[1]}"
        server.should_exit = True
        thread.join(patience(10))


@contextmanager
def settings_of(**values: object) -> Iterator[None]:
    """Set variables of the environment by their fields in `Settings` for a while."""
    with patch.dict(os.environ, {f"SIGHTGLASS_{name.upper()}": str(value) for name, value in values.items()}):
        yield
