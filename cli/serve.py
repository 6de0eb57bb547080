"""`serve`: the HTTP API alone, without the dashboard's pages."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options as cli
from cli.console import Teller
from cli.image import woken
from common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    import uvicorn
    from fastapi import FastAPI

    from api.schemas import Settings
    from explain.explainer import Explainer

HOST, PORT = "127.0.0.1", 8502
GRACE = 5
"""Seconds that requests under way are given once it is told to end."""
DOOR, LIMITS = "Who may ask", "How much at once"


def register(app: typer.Typer) -> None:
    cli.verb(
        app,
        "serve",
        """
        python -m explain serve
        python -m explain serve --model resnet50 --device cuda --workers 4
        SIGHTGLASS_API_KEY=... python -m explain serve --host 0.0.0.0 --port 80
        curl -F image=@bus.jpg http://127.0.0.1:8502/api/explain
        curl -F image=@bus.jpg -H 'Accept: image/png' -o map.png http://127.0.0.1:8502/api/explain
        """,
    )(serve)


def serve(
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help=f"Where it listens; 0.0.0.0 opens it to the network \\[{HOST}].",
            show_default=False,
            rich_help_panel=DOOR,
        ),
    ] = HOST,
    port: Annotated[
        int,
        typer.Option(
            "--port",
            "-p",
            metavar="N",
            min=0,
            max=65535,
            help=f"Its port; 0 takes a free one and says which \\[{PORT}].",
            show_default=False,
            rich_help_panel=DOOR,
        ),
    ] = PORT,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="KEY",
            help="Ask for this key. SIGHTGLASS_API_KEY does the same, and does not stand in the list of processes.",
            show_default=False,
            rich_help_panel=DOOR,
        ),
    ] = None,
    queue: Annotated[
        int | None,
        typer.Option(
            "--queue",
            metavar="N",
            min=0,
            help="How many requests may wait; the next is told when to come back (429) \\[16].",
            show_default=False,
            rich_help_panel=LIMITS,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            help="How many are answered at once. All share one loaded model, which takes one picture at a time \\[2].",
            show_default=False,
            rich_help_panel=LIMITS,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.1,
            help="How long an answer may take, waiting included; then the work is stopped (504) \\[60].",
            show_default=False,
            rich_help_panel=LIMITS,
        ),
    ] = None,
    limit_mb: Annotated[
        float | None,
        typer.Option(
            "--limit-mb",
            metavar="MB",
            min=0.001,
            help="How large a picture's file may be (413) \\[20].",
            show_default=False,
            rich_help_panel=LIMITS,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="ID",
            help="What answers where a request names none, ready before it listens \\[efficientnet-lite0].",
            show_default=False,
            rich_help_panel=cli.MODEL,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="NAME",
            help="auto, cpu, cuda, cuda:N or mps \\[auto].",
            show_default=False,
            rich_help_panel=cli.MODEL,
        ),
    ] = None,
    monitor: Annotated[
        bool,
        typer.Option(
            "--monitor",
            help="Log what is unsure or odd with its map, for the screen Watch; pictures are not kept.",
            rich_help_panel=LIMITS,
        ),
    ] = False,
) -> int:
    """Answer over HTTP what the other verbs answer here: the API without the dashboard's pages.

    `streamlit run dashboard.py` answers the same requests beside its pages; this is for a machine that shows none.
    What can be asked is listed at /api/docs, also without a network. Ctrl-C ends it.

    Only this machine is answered unless --host says otherwise, no other site's page unless SIGHTGLASS_API_ORIGINS
    names it, and under no other name than localhost's unless SIGHTGLASS_API_HOSTS does. The model is loaded and has
    seen a picture before the first request is taken; requests may name others whose weights are here, and nothing is
    ever downloaded for one.
    """
    _threads()
    from api.schemas import Settings

    settings = Settings.from_environment(
        key=key,
        waiting=queue,
        workers=workers,
        timeout=timeout,
        max_bytes=None if limit_mb is None else int(limit_mb * 2**20),
        model=model,
        device=device,
        monitor=monitor or None,
    )
    tell = Teller()
    line = bound(host, port)
    with contextlib.closing(line):
        with tell.at_work(f"Waking {settings.model}") as bar:
            warm(woken(settings.model, settings.device, bar))
        from api.app import create

        app = create(settings)
        server = _server(app)
        with _ended(server):
            _say(tell, line, settings)
            server.run(sockets=[line])
    tell.say("Ended.")
    if not app.state.gate.close(GRACE):
        # What does not listen would otherwise take the interpreter down with a complaint of its own.
        sys.stdout.flush()
        os._exit(0)
    return 0


def _threads() -> None:
    """As the dashboard has them, before torch is there: one core is left to what takes requests in."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))
    sys.setswitchinterval(0.0005)


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises Problem, one sentence, where that cannot be: before a model is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise Problem(f"{host} is no address of this machine: use 127.0.0.1, or 0.0.0.0 for the network.") from error
    line = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.bind(address)
        line.listen(2048)
    except OSError as error:
        line.close()
        raise Problem(
            f"{_why_not(error)}: {host} cannot be listened on at port {port}; give another --port."
        ) from error
    return line


def _why_not(error: OSError) -> str:
    import errno

    if error.errno == errno.EADDRINUSE:
        return "Something else listens there"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "Ports below 1024 need more rights"
    return error.strerror or str(error)


def warm(explainer: Explainer) -> None:
    """One picture through it: the first pass finds the layers and takes several times as long as the others."""
    import numpy as np

    from explain.picture.image import Image

    # Some cannot say anything of a grey picture, or only once they are told what to look for.
    with contextlib.suppress(Problem):
        explainer(Image(np.full((64, 64, 3), 128, np.uint8), "warm"), top_k=1)


def _server(app: FastAPI) -> uvicorn.Server:
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=GRACE,
            server_header=False,
        )
    )


def _say(tell: Teller, line: socket.socket, settings: Settings) -> None:
    """Where it answers, and whom."""
    address, port = line.getsockname()[:2]
    if not settings.key and not ipaddress.ip_address(address).is_loopback:
        tell.complain("Whoever reaches this machine can ask without a key: give one with SIGHTGLASS_API_KEY.")
    shown = f"[{address}]" if ":" in address else address
    key = "a key is asked for" if settings.key else "no key is asked for"
    tell.say(f"http://{shown}:{port}/api/docs lists what can be asked; {key}. Ctrl-C ends this.")
    sys.stdout.flush()


@contextlib.contextmanager
def _ended(server: uvicorn.Server) -> Iterator[None]:
    """Signals end the server and nothing else: once it has shut down, it raises again the one that told it to."""

    def told(*_: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
