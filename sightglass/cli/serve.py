"""`dashboard`: open the pages in a browser; `serve`: run the HTTP API without them."""

import contextlib
import os
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from sightglass.cli import options as cli
from sightglass.cli.console import Console, load_explainer
from sightglass.common import access
from sightglass.common.errors import Problem
from sightglass.common.packaged import DASHBOARD
from sightglass.common.settings import settings
from sightglass.common.work import ending
from sightglass.models import catalog

HOST, PORT = "127.0.0.1", 8502
SCRIPT = DASHBOARD / "dashboard.py"
OPEN = "Admit everybody who reaches the address, without a token."


@dataclass(frozen=True, kw_only=True)
class DashboardOptions:
    port: int | None = cli.field("--port -p N", "Port to listen on [8501, or the next free one].", min=1, max=65535)
    host: str = cli.field("--host ADDRESS", "0.0.0.0 opens it to the network [localhost].", default="localhost")
    open: bool = cli.field("--open", OPEN, default=False)
    no_browser: bool = cli.field("--no-browser", "Only print the address.", default=False)


@cli.verb(cli.app, "dashboard", "sightglass dashboard --port 8600 --no-browser")
def dashboard(options: DashboardOptions) -> int:
    """Open the dashboard in a browser, with the HTTP API on the same port.

    It runs in the current folder: a models.toml there is found. Only this machine is answered unless --host says
    otherwise; then the printed address has a token that visitors need. Ctrl-C stops it.
    """
    if not SCRIPT.is_file() or find_spec("streamlit") is None:
        raise Problem("The dashboard is not part of this installation: install Sightglass with pip install .")
    # -P: a folder called `models` or `pages` where the user is must not take the place of the project's own.
    command = [sys.executable, "-P", "-m", "streamlit", "run", str(SCRIPT), f"--server.address={options.host}"]
    if options.port is not None:
        bound(options.host, options.port).close()
        command.append(f"--server.port={options.port}")
    if options.no_browser:
        command.append("--server.headless=true")
    if options.open:
        os.environ["SIGHTGLASS_OPEN"] = "1"
    if os.name == "posix":
        # In place of this process, so that Ctrl-C and signals reach the server and nothing is left behind.
        sys.stdout.flush()
        os.execv(command[0], command)
    with suppress(KeyboardInterrupt), subprocess.Popen(command) as server:
        return server.wait()
    return 0


@dataclass(frozen=True, kw_only=True)
class McpOptions:
    model: str | None = cli.field("--model -m ID", "Of requests that name none [efficientnet-lite0].", cli.MODEL)
    device: str | None = cli.field("--device NAME", "auto, cpu, cuda, cuda:N or mps [auto].", cli.MODEL)


@dataclass(frozen=True, kw_only=True)
class ServeOptions(McpOptions):
    host: str = cli.field("--host ADDRESS", f"0.0.0.0 opens it to the network [{HOST}].", default=HOST)
    port: int = cli.field("--port -p N", f"0 picks a free one and prints it [{PORT}].", default=PORT, min=0, max=65535)
    open: bool = cli.field("--open", OPEN, default=False)


@cli.verb(
    cli.app,
    "serve",
    """
    SIGHTGLASS_TOKEN=... sightglass serve --host 0.0.0.0 --port 80 --model resnet50 --device cuda
    curl -F image=@bus.jpg http://127.0.0.1:8502/api/explain
    """,
)
def serve(options: ServeOptions) -> int:
    """Serve the HTTP API and the live socket without the dashboard's pages, for a machine without a screen.

    /api/docs lists all requests and works without a network. Only this machine is answered unless --host says
    otherwise; then a token is required, which SIGHTGLASS_TOKEN sets and the server otherwise generates and prints. The
    model is loaded before the first request is accepted, and nothing is ever downloaded for a request.
    """
    # As the dashboard does, before torch is imported: one core stays free to accept requests.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))
    sys.setswitchinterval(0.0005)
    _set_defaults(options.model, options.device)
    from sightglass.api import prepare, prepare_server

    prepare(options.host, open_to_all=options.open)
    console, model = Console(), settings().api_model
    with contextlib.closing(bound(options.host, options.port)) as listener:
        import uvicorn

        from sightglass.api.app import Api, create
        from sightglass.explain.picture.image import Image

        with console.progress(f"Loading {model}") as progress:
            explainer = load_explainer(model, settings().api_device, progress)
            # The first pass takes several times longer. Some models find nothing in grey, or need words to look for.
            with suppress(Problem):
                explainer(Image(np.full((64, 64, 3), 128, np.uint8), "warm"), top_k=1)
        address, port = listener.getsockname()[:2]
        host, rules = f"[{address}]" if ":" in address else address, access.in_use()
        token = f"the token is {rules.token}" if rules.generated else "a token is required"
        token = token if rules.asks else "no token is required"
        console.say(f"http://{host}:{port}/api/docs lists all requests; {token}. Press Ctrl-C to stop.")
        sys.stdout.flush()
        app = create()

        def start() -> Api:
            # Once uvicorn has taken the signals, and before it takes connections.
            prepare_server()
            return app

        config = uvicorn.Config(start, factory=True, log_level="critical", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listener])
    console.say("Stopped.")
    sys.stdout.flush()
    return 0


@cli.verb(cli.app, "mcp", "sightglass mcp --model resnet50")
def mcp(options: McpOptions) -> int:
    """Serve tools for programs over standard input and output, by the Model Context Protocol.

    The tools are explain, compare, prove, wrong_pictures and replay; docs/tools.md shows them. Pictures are paths on
    this machine. The dashboard and `serve` answer the same at /mcp, without paths.
    """
    _set_defaults(options.model, options.device)
    from sightglass.api.tools import create_server
    from sightglass.api.work import WorkQueue

    # The thread that waits for a line of standard input would keep the process.
    ending.end_at_once()
    create_server(WorkQueue(1), local=True).run("stdio")
    ending.end_within(ending.GRACE)
    return 0


def _set_defaults(model: str | None, device: str | None) -> None:
    """Set the model and the device of requests that name none; raise ModelProblem for an unknown model."""
    if model is not None:
        catalog.spec(model)
    for name, value in (("MODEL", model), ("DEVICE", device)):
        if value is not None:
            os.environ[f"SIGHTGLASS_API_{name}"] = value


def bound(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise Problem before a model is loaded."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, backlog=2048, dualstack_ipv6=both)
    except (OSError, UnicodeError) as error:
        # create_server adds the address, which the sentence names.
        reason = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
        raise Problem(
            f"{host} cannot be listened on at port {port} ({reason}): give another --host or --port."
        ) from error
