"""Join or start a Ray cluster."""

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

from sightglass.common.errors import ModelProblem
from sightglass.common.style import CHECKOUT, PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_FOLDER = 40
"""Maximum length of the folder for Ray's sockets, whose paths may have 107 characters."""
CONNECT_TIMEOUT = 10.0
"""Seconds after which an address counts as unreachable."""
GREETING, SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5), b"\4"
"""Preface of an HTTP/2 client, and the type of the frame with which a server such as Ray's answers (RFC 9113)."""
END_TIMEOUT = 5.0
"""Seconds after which workers that have not ended are killed."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # A late call from another thread must not start a new cluster.
    "RAY_ENABLE_AUTO_CONNECT": "0",
}


def library() -> Any:
    """Return Ray, configured to be quiet; raise ModelProblem without it."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ModelProblem("The engine ray is not installed: pip install ray fsspec.") from error
    return ray


@contextlib.contextmanager
def _whole_package() -> Iterator[Path]:
    """Yield the package's folder, for a checkout an installed layout."""
    if CHECKOUT is None:
        yield PACKAGE
        return
    with tempfile.TemporaryDirectory(prefix="sg-") as folder:
        copy = Path(folder) / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for room in ("explain", "models"):
            shutil.copytree(CHECKOUT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
        yield copy


@contextlib.contextmanager
def cluster(address: str | None, workers: int | None = None) -> Iterator[bool]:
    """Join the cluster at `address`, else start a local one.

    Yields whether it is local. If this process is in a cluster already, that one is used and not left.
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
            folder = tempfile.mkdtemp(prefix="sg-", dir=base if len(base) <= MAX_FOLDER else "/tmp")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            path = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
            more: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False, "_temp_dir": folder}
            more["runtime_env"] = {"env_vars": {"PYTHONPATH": path}}
        else:
            _check_address(address)
            # The same code on every machine; what it needs is installed there.
            code = stack.enter_context(_whole_package())
            more = {"runtime_env": {"py_modules": [str(code)], "excludes": ["**/__pycache__"]}}
        # Registered first, so that processes of a failed start end too.
        stack.callback(_end, set(psutil.Process().children(recursive=True)))
        try:
            with _stderr_silenced():
                ray.init(address=address or "local", **more, **quiet)
            own_signals()
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0].rstrip(".")
            where = f"No cluster answers at {address}" if address else "Ray could not start a cluster here"
            hint = (
                "check the address, and whether it wants RAY_AUTH_MODE=token"
                if address
                else "is there room on the disk"
            )
            raise ModelProblem(f"{where} ({reason}): {hint}{'.' if address else '?'}") from error
        yield address is None


def _check_address(address: str) -> None:
    """Raise ModelProblem if no cluster answers within seconds."""
    if address in ("auto", "local"):
        return
    failure: list[BaseException] = []

    def connect() -> None:
        try:
            url = urlsplit("//" + address.removeprefix("ray://"))
            if not url.hostname:
                raise ValueError(address)
            port = url.port or (10001 if address.startswith("ray://") else 6379)
            with socket.create_connection((url.hostname, port), CONNECT_TIMEOUT) as line:
                # Another service may stay silent, and Ray would wait.
                line.sendall(GREETING)
                if os.environ.get("RAY_USE_TLS", "0") == "0" and line.recv(4)[3:] != SETTINGS:
                    raise ValueError(address)
        except (OSError, ValueError) as error:
            failure.append(error)

    # In a thread, because a name lookup has no timeout.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT)
    if failure or thread.is_alive():
        raise ModelProblem(f"No cluster answers at {address}: check the address, and that the cluster runs.") from next(
            iter(failure), None
        )


@contextlib.contextmanager
def _environment(own: bool) -> Iterator[None]:
    """Restore the environment variables set by Ray.

    A local cluster gets a token, so that other users of the machine cannot send work to it; Ray would store its own in
    the user's home.
    """
    before = {name: os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "PYTHONBREAKPOINT")}
    if own:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    _reset_token()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _reset_token()


def _reset_token() -> None:
    """Make Ray read its token again; it caches the token per process."""
    with contextlib.suppress(ImportError, AttributeError):
        core = import_module("ray._raylet")
        core.AuthenticationTokenLoader.instance().reset_cache()
        core.Config.initialize("")


def _end(before: set[psutil.Process]) -> None:
    """Leave the cluster and end all processes started meanwhile."""
    started = set(psutil.Process().children(recursive=True)) - before
    library().shutdown()
    for process in psutil.wait_procs(started, timeout=END_TIMEOUT)[1]:
        with contextlib.suppress(psutil.Error):
            process.kill()


@contextlib.contextmanager
def _stderr_silenced() -> Iterator[None]:
    """Silence stderr while Ray's core starts."""
    try:
        stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:
        yield
        return
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], Any]]:
    """Yield a function to restore SIGTERM's handler after Ray's."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = signal.getsignal(signal.SIGTERM)

    def end(_signal: int, _frame: Any) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    try:
        yield partial(signal.signal, signal.SIGTERM, end if before is signal.SIG_DFL else before)
    finally:
        signal.signal(signal.SIGTERM, before)
