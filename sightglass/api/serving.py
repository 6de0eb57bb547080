"""Prepare a process for serving HTTP."""

from __future__ import annotations

import logging
import signal
from functools import partial

import uvicorn

from sightglass.common import access
from sightglass.common import settings as environment
from sightglass.common.errors import ModelProblem, SettingProblem
from sightglass.common.legible import one_line
from sightglass.common.settings import settings
from sightglass.common.work.threads import share_heap
from sightglass.models import catalog
from sightglass.models.checkpoints import weights

LOGGER = logging.getLogger(__name__)


def prepare(host: str | None = "localhost", *, token: str | None = None, open_to_all: bool = False) -> None:
    """Prepare this process for serving HTTP; None: on all addresses.

    `token` and `open_to_all`: as of `access.choose`. Logs a warning where a folder of weights or a models.toml
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
    _handle_signals()
    access.install(access.choose(host, token=token, open_to_all=open_to_all))
    if (warning := access.announcement(access.in_use())) is not None:
        LOGGER.warning("%s", warning)


def _handle_signals() -> None:
    """End the server of this process, if it runs, by Ctrl-C and SIGTERM with exit code 0, and its requests in time."""
    for number in (signal.SIGINT, signal.SIGTERM):
        server = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(server, uvicorn.Server):
            # Streamlit's own timeout is unlimited.
            server.config.timeout_graceful_shutdown = settings().stop_seconds
            # uvicorn's own handler raises the signal again at the end, which skips what is to be done at exit.
            signal.signal(number, partial(_stop, server))


def _stop(server: uvicorn.Server, *_: object) -> None:
    """Stop a server; the second time without waiting."""
    server.force_exit = server.should_exit
    server.should_exit = True
