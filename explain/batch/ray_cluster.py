"""A Ray cluster for as long as it is wanted: joined or begun, without a word, and nothing left of it."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]

from common.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
LONGEST = 40
"""Characters of a folder for Ray's sockets, whose whole path may have 107."""
KNOCKING = 10.0
"""Seconds until an address counts as one where nobody is."""
GREETING, SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5), b"\4"
"""How a client of HTTP/2 begins, which Ray's servers speak, and the kind of frame that it hears first (RFC 9113)."""
ENDING = 5.0
"""Seconds that workers are given to end by themselves."""
TERMINATED = 143
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # A thread that asks for something after the end must not begin another cluster.
    "RAY_ENABLE_AUTO_CONNECT": "0",
}


def library() -> Any:
    """Ray, told to keep to itself; raises ModelProblem where it is not installed."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ModelProblem("The engine ray is not installed: pip install -r requirements-ray.txt.") from error
    return ray


@contextlib.contextmanager
def cluster(address: str | None, workers: int | None = None) -> Iterator[bool]:
    """A cluster for as long as this lasts: that at `address`, else one of this machine with `workers` processors.

    Says whether it is this machine's own. Where this process is in one already, that one is used, and stays.
    """
    ray = library()
    if ray.is_initialized():
        yield address is None
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with contextlib.ExitStack() as stack:
        own_signals = stack.enter_context(_signals())
        stack.enter_context(_environment(address is None))
        if address is None:
            base = tempfile.gettempdir()
            held = tempfile.mkdtemp(prefix="sg-", dir=base if len(base) <= LONGEST else "/tmp")
            stack.callback(shutil.rmtree, held, ignore_errors=True)
            path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
            more: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False, "_temp_dir": held}
            more["runtime_env"] = {"env_vars": {"PYTHONPATH": path}}
        else:
            _knock(address)
            # The same code on every machine; what it needs is installed there.
            code = [str(ROOT / name) for name in ("common", "explain", "models")]
            more = {"runtime_env": {"py_modules": code, "excludes": ["**/__pycache__"]}}
        # Also where it fails half-way: what it has started ends with it.
        stack.callback(_end, set(psutil.Process().children(recursive=True)))
        try:
            with _hushed():
                ray.init(address=address or "local", **more, **quiet)
            own_signals()
        except (OSError, ValueError, RuntimeError, ImportError, ray.exceptions.RayError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0].rstrip(".")
            where = f"No cluster answers at {address}" if address else "Ray could not start a cluster here"
            hint = (
                "check the address, and whether it wants RAY_AUTH_MODE=token"
                if address
                else "is there room on the disk"
            )
            raise ModelProblem(f"{where} ({said}): {hint}{'.' if address else '?'}") from error
        yield address is None


def _knock(address: str) -> None:
    """Ray waits for minutes where nobody answers; raises ModelProblem after some seconds."""
    if address in ("auto", "local"):
        return
    failure: list[BaseException] = []

    def knock() -> None:
        try:
            there = urlsplit("//" + address.removeprefix("ray://"))
            if not there.hostname:
                raise ValueError(address)
            port = there.port or (10001 if address.startswith("ray://") else 6379)
            with socket.create_connection((there.hostname, port), KNOCKING) as line:
                # What else listens there may keep silent, and Ray would wait.
                line.sendall(GREETING)
                if os.environ.get("RAY_USE_TLS", "0") == "0" and line.recv(4)[3:] != SETTINGS:
                    raise ValueError(address)
        except (OSError, ValueError) as error:
            failure.append(error)

    # Apart, because looking up a name takes as long as it likes.
    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(KNOCKING)
    if failure or thread.is_alive():
        raise ModelProblem(f"No cluster answers at {address}: check the address, and that the cluster runs.") from next(
            iter(failure), None
        )


@contextlib.contextmanager
def _environment(own: bool) -> Iterator[None]:
    """What Ray sets in this process's environment, for as long as this lasts.

    Nobody else on this machine may send work to a cluster of its own; Ray would keep its token in the user's home.
    """
    before = {name: os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "PYTHONBREAKPOINT")}
    if own:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    _look_again()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _look_again()


def _look_again() -> None:
    """Ray remembers its token, and whether there is one, for as long as the process is; another cluster has another."""
    with contextlib.suppress(ImportError, AttributeError):
        core = import_module("ray._raylet")
        core.AuthenticationTokenLoader.instance().reset_cache()
        core.Config.initialize("")


def _end(before: set[psutil.Process]) -> None:
    """Leave the cluster, and nothing of what was started meanwhile: workers end some time after Ray says so."""
    started = set(psutil.Process().children(recursive=True)) - before
    library().shutdown()
    for process in psutil.wait_procs(started, timeout=ENDING)[1]:
        with contextlib.suppress(psutil.Error):
            process.kill()


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Ray's core writes to the process's stderr, whatever it is told, as it starts."""
    try:
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:
        yield
        return
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], Any]]:
    """Gives what takes SIGTERM back from Ray, whose own way to end leaves a stack on the terminal."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = signal.getsignal(signal.SIGTERM)

    def end(_signal: int, _frame: Any) -> None:
        raise SystemExit(TERMINATED)

    try:
        yield partial(signal.signal, signal.SIGTERM, end if before is signal.SIG_DFL else before)
    finally:
        signal.signal(signal.SIGTERM, before)
