"""`dashboard`: open the pages in a browser."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec

from sightglass.cli import options as cli
from sightglass.cli.server.serve import ACCESS, OPEN, bound
from sightglass.common.errors import Problem
from sightglass.common.style import DASHBOARD

SCRIPT = DASHBOARD / "dashboard.py"
HOST = "localhost"


@dataclass(frozen=True, kw_only=True)
class DashboardOptions:
    port: int | None = cli.field(
        "--port -p N", "Port to listen on \\[8501, or the next free one].", ACCESS, min=1, max=65535
    )
    host: str = cli.field(
        "--host ADDRESS", f"Address to listen on; 0.0.0.0 opens it to the network \\[{HOST}].", ACCESS, default=HOST
    )
    open: bool = cli.field("--open", OPEN, ACCESS, default=False)
    no_browser: bool = cli.field(
        "--no-browser", "Do not open a browser; the address is printed.", ACCESS, default=False
    )


@cli.verb(
    cli.app,
    "dashboard",
    """
    sightglass dashboard
    sightglass dashboard --port 8600 --no-browser
    sightglass dashboard --host 0.0.0.0
    """,
)
def dashboard(options: DashboardOptions) -> int:
    """Open the dashboard in a browser: every page, and the HTTP API on the same port.

    It runs in the current folder: a models.toml there is found. Only this machine is answered unless --host says
    otherwise; then the printed address has a token that visitors need. Ctrl-C stops it.
    """
    command = _command(options)
    if options.open:
        os.environ["SIGHTGLASS_OPEN"] = "1"
    if os.name == "posix":
        # In place of this process, so that Ctrl-C and signals reach the server and nothing is left behind.
        sys.stdout.flush()
        os.execv(command[0], command)
    with suppress(KeyboardInterrupt), subprocess.Popen(command) as server:
        return server.wait()
    return 0


def _command(options: DashboardOptions) -> list[str]:
    """Return the command that starts the server; raise Problem where it could not start."""
    if not SCRIPT.is_file() or find_spec("streamlit") is None:
        raise Problem("The dashboard is not part of this installation: install Sightglass with pip install .")
    if options.port is not None:
        bound(options.host, options.port).close()
    # -P: a folder called `models` or `pages` where the user is must not take the place of the project's own.
    command = [sys.executable, "-P", "-m", "streamlit", "run", str(SCRIPT), f"--server.address={options.host}"]
    if options.port is not None:
        command.append(f"--server.port={options.port}")
    if options.no_browser:
        command.append("--server.headless=true")
    return command
