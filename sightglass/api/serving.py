"""Start and stop of a server, with private parts of uvicorn.

SIGTERM and Ctrl-C do not end a server at once: it goes on listening, refuses new work with 503 and Retry-After, and is
not ready; once what is running has ended, or after SIGHTGLASS_STOP_SECONDS, it closes. Requests that are not done by
then get 503, too. A second signal closes it immediately.

Streamlit starts its server by itself and takes no handler of signals, so that of every server of this process is
replaced. What an installed version lacks is said when this file is imported.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from sightglass.common import access, logs
from sightglass.common import settings as environment
from sightglass.common.errors import ModelProblem, SettingProblem
from sightglass.common.legible import one_line
from sightglass.common.private_parts import Library
from sightglass.common.settings import settings
from sightglass.common.work import progress
from sightglass.models import catalog
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    from types import FrameType

LOGGER = logging.getLogger(__name__)
ANSWER_SECONDS = 1.0
"""Seconds in which requests that were not done in time are answered, and again for connections to close."""
EXIT_SECONDS = 4.0
"""Seconds after SIGHTGLASS_STOP_SECONDS at which the process ends, whatever is still running."""

LIBRARY = Library("uvicorn", "0.54")
_Server = LIBRARY.find("uvicorn.Server", "handle_exit", "_captured_signals", "started", "should_exit", "config")
_close_now = _Server.handle_exit


def install() -> None:
    """Replace these parts of all new servers; call from the main thread."""
    _Server.handle_exit = handle_exit
    for number in (signal.SIGINT, signal.SIGTERM):
        # Streamlit's server has taken its signals before it reads our file.
        server = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(server, _Server):
            signal.signal(number, server.handle_exit)


def handle_exit(server: Any, number: int, frame: FrameType | None) -> None:
    """Stop a server gracefully; a second signal stops it at once."""
    if progress.stopping() or not server.started:
        _close_now(server, number, frame)
        return
    # uvicorn raises it again at the end: to a terminal Ctrl-C would be an error, `Aborted!` with exit code 1.
    if number != signal.SIGINT:
        server._captured_signals.append(number)
    _daemon(_end, server)


def _end(server: Any) -> None:
    seconds = settings().stop_seconds
    _daemon(_exit_after, seconds + EXIT_SECONDS)
    if not progress.stop(seconds):
        # It is imported with the first request.
        if (work := sys.modules.get("sightglass.api.work")) is not None:
            work.give_back()
        progress.wait_for_end(ANSWER_SECONDS)
    # Streamlit's own is without limit.
    server.config.timeout_graceful_shutdown = ANSWER_SECONDS
    server.should_exit = True


def _exit_after(seconds: float) -> None:
    threading.Event().wait(seconds)
    # A thread inside torch does not end when it is told to.
    os._exit(0)


def _daemon(work: Any, *given: Any) -> None:
    threading.Thread(target=work, args=given, daemon=True).start()


def prepare(
    host: str | None = "localhost", *, token: str | None = None, oidc: bool = False, open_to_all: bool = False
) -> None:
    """Prepare this process for serving HTTP; None: on all addresses.

    `token`, `oidc` and `open_to_all`: as of `access.choose`. Logs a warning where a folder of weights or a models.toml
    is missing or broken, and where strangers get in. Raises SettingProblem, one sentence for each variable that is
    malformed or unknown, or that names a model that does not exist: otherwise the first request to need it would fail.
    """
    environment.check()
    try:
        catalog.spec(settings().api_model)
    except ModelProblem as problem:
        raise SettingProblem(f"{environment.variable('api_model')}: {problem}") from problem
    for advice in environment.find_removed():
        LOGGER.warning("%s", advice)
    catalog.log_faults()
    for folder in weights.missing_folders():
        LOGGER.warning("SIGHTGLASS_WEIGHTS names %s, which is no folder here: correct it.", one_line(str(folder)))
    install()
    logs.install()
    access.install(access.choose(host, token=token, oidc=oidc, open_to_all=open_to_all))
    if (warning := access.announcement(access.in_use())) is not None:
        LOGGER.warning("%s", warning)
