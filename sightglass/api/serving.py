"""Start and stop of a server.

SIGTERM and Ctrl-C do not end a server at once: it goes on listening, refuses new work with 503 and Retry-After, and is
not ready; once what is running has ended, or after SIGHTGLASS_STOP_SECONDS, it closes. Requests that are not done by
then get 503, too. A second signal closes it immediately.
"""

from __future__ import annotations

import logging
import os
import signal
from functools import partial
from threading import Thread, Timer
from types import FrameType

import uvicorn

from sightglass.common import access
from sightglass.common import settings as environment
from sightglass.common.errors import ModelProblem, SettingProblem
from sightglass.common.legible import one_line
from sightglass.common.settings import settings
from sightglass.common.work import progress
from sightglass.common.work.threads import share_heap
from sightglass.models import catalog
from sightglass.models.checkpoints import weights

LOGGER = logging.getLogger(__name__)
ANSWER_SECONDS = 1.0
"""Seconds in which requests that were not done in time are answered, and again for connections to close."""
EXIT_SECONDS = 4.0
"""Seconds after SIGHTGLASS_STOP_SECONDS at which the process ends, whatever is still running."""


def stop_gracefully() -> None:
    """Let running work end before the server of this process closes; call once uvicorn handles signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        server = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(server, uvicorn.Server):
            signal.signal(number, partial(_handle_signal, server))


def _handle_signal(server: uvicorn.Server, _number: int, _frame: FrameType | None) -> None:
    if progress.stopping() or not server.started:
        server.should_exit = True
    else:
        Thread(target=_stop, args=(server,), daemon=True).start()


def _stop(server: uvicorn.Server) -> None:
    """Stop all work, then the server."""
    seconds = settings().stop_seconds
    # A thread inside torch does not stop on request.
    end = Timer(seconds + EXIT_SECONDS, os._exit, (0,))
    end.daemon = True
    end.start()
    progress.stop(seconds + ANSWER_SECONDS)
    # Streamlit's own timeout is unlimited.
    server.config.timeout_graceful_shutdown = 1
    server.should_exit = True


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
    catalog.log_faults()
    for folder in weights.missing_folders():
        LOGGER.warning("SIGHTGLASS_WEIGHTS names %s, which is no folder here: correct it.", one_line(str(folder)))
    share_heap()
    stop_gracefully()
    access.install(access.choose(host, token=token, oidc=oidc, open_to_all=open_to_all))
    if (warning := access.announcement(access.in_use())) is not None:
        LOGGER.warning("%s", warning)
