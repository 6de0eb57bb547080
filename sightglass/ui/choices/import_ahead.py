"""Announce the dashboard's address, and import the start page while a browser loads Streamlit."""

import asyncio
import ctypes
import gc
import inspect
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import streamlit as st

from sightglass.common import access
from sightglass.ui.choices import model_picker
from sightglass.ui.streamlit_internals import base_path

EVERYWHERE = ("", "0.0.0.0", "::")
"""Addresses by which a server listens on all interfaces."""


def addresses(host: str | None) -> list[str]:
    """Return the server's addresses, here and in the network, with the token that it generated, if any."""
    rules = access.in_use()
    query = f"/?token={rules.token}" if rules.generated else ""
    protocol = "https" if st.get_option("server.sslCertFile") else "http"
    end = f":{st.get_option('server.port')}{base_path()}{query}"
    names = [f"[{host}]" if ":" in host else host] if host and host not in EVERYWHERE else ["localhost", *_in_network()]
    return [f"{protocol}://{name}{end}" for name in names]


def _in_network() -> list[str]:
    """Return this machine's address in its network, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: it only chooses the interface that leads elsewhere.
            probe.connect(("192.0.2.1", 80))
            name = probe.getsockname()[0]
        except OSError:
            return []
    return [] if access.is_local(name) else [name]


BESIDE_THE_MAP = ("ui.saving", "ui.views.panels", "pages.explore.view")
"""Modules of the first screen that do not import torch, which would delay it."""


@asynccontextmanager
async def serving(_app: st.App) -> AsyncIterator[None]:
    """Announce the server, and begin to import: its lifespan."""
    _send_at_once(asyncio.get_running_loop())
    urls = addresses(st.get_option("server.address"))
    rest = f", for others in the network at {urls[1]}" if len(urls) > 1 else ""
    print(f"Sightglass is at {urls[0]}{rest}. Press Ctrl-C to stop.", flush=True)
    if _THREAD.ident is None:
        _THREAD.start()
    yield
    print("Stopped.", flush=True)


def _send_at_once(loop: asyncio.AbstractEventLoop) -> None:
    """Disable Nagle's algorithm on the loop's listening socket.

    asyncio does that for sockets that it makes itself, but Streamlit brings its own: each answer's body would wait up
    to 40 ms until the browser has acknowledged its headers, with six connections at a time for a hundred files.
    """
    create = loop.create_server

    def create_server(*args: Any, sock: socket.socket | None = None, **options: Any) -> Any:
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return create(*args, sock=sock, **options)

    loop.create_server = create_server  # type: ignore[method-assign]


def finish() -> None:
    """Wait for the running load of torch's libraries, if any."""
    if _THREAD.is_alive():
        _THREAD.join()


def _import() -> None:
    try:
        for name in ("widgets", "choices.controls"):
            import_module(f"sightglass.ui.{name}")
        # Streamlit calls this once; with this many modules it takes 150 ms, a second time it is fast.
        inspect.stack()
        for name in BESIDE_THE_MAP:
            import_module(f"sightglass.{name}")
        model_picker.menu()
        spec = find_spec("torch") if sys.platform == "linux" else None
        if spec is not None and spec.origin:
            # A fifth of what `import torch` takes. Python's own loader would keep the interpreter to itself meanwhile,
            # so that a browser waits for Streamlit's files; a foreign function lets others run.
            ctypes.CDLL(None).dlopen(os.fsencode(Path(spec.origin).parent / "lib" / "libtorch.so"), os.RTLD_NOW)
    finally:
        gc.enable()


_THREAD = Thread(target=_import, name="import ahead", daemon=True)
