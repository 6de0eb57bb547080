"""The engine over HTTP: prepare a process for serving it, and its routes."""

import asyncio
import logging
import signal
import threading
from functools import partial

import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sightglass.api.connections import allow_descriptors, with_limits
from sightglass.api.security import OUTSIDE
from sightglass.common import access
from sightglass.common import settings as environment
from sightglass.common.errors import ModelProblem, SettingProblem
from sightglass.common.legible import one_line
from sightglass.common.settings import settings
from sightglass.common.work import ending
from sightglass.common.work.threads import share_heap
from sightglass.models import catalog
from sightglass.models.checkpoints import weights

LOGGER = logging.getLogger(__name__)


def prepare(host: str | None = "localhost", *, open_to_all: bool = False) -> None:
    """Prepare this process for serving HTTP; None: on all addresses.

    `open_to_all`: as for `access.choose`. Logs a warning where a folder of weights or a models.toml is missing or
    broken, and where strangers get in. Raises SettingProblem, one sentence for each variable that is malformed or
    unknown, or that names a model that does not exist: otherwise the first request to need it would fail.
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
    allow_descriptors()
    prepare_server()
    access.install(access.choose(host, open_to_all=open_to_all))
    if (warning := access.announcement(access.in_use())) is not None:
        LOGGER.warning("%s", warning)


def prepare_server() -> None:
    """Limit the clients of this process's server, if one runs, and end it by signals.

    By Ctrl-C or SIGTERM it ends in time, and by a second one at once.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if not isinstance(server, uvicorn.Server):
        return
    server.config.http_protocol_class = with_limits(server.config.http_protocol_class)
    # Streamlit's own timeout is unlimited.
    server.config.timeout_graceful_shutdown = settings().stop_seconds
    for number in ending.STOPPED_BY:
        # uvicorn's own handler raises the signal again at the end, which skips what is to be done at exit.
        signal.signal(number, partial(_stop, server, asyncio.get_running_loop()))
    if (task := asyncio.current_task()) is not None:
        # As it returns, uvicorn puts back the handlers that were there before.
        task.add_done_callback(lambda _: ending.end_at_once())


def _stop(server: uvicorn.Server, loop: asyncio.AbstractEventLoop, *_: object) -> None:
    """Stop a server in time."""
    ending.end_within(settings().stop_seconds + ending.GRACE)
    server.should_exit = True
    # Not here: the signal may have come while this thread held the lock of an event.
    loop.call_soon_threadsafe(ending.stop_work)


def routes(base: str = "") -> list[BaseRoute]:
    """Return routes for `st.App(__file__, routes=...)`.

    They answer everything below /api, including unknown paths, and the same below `base`, the path at which a proxy
    shows the server, such as `/sightglass`. The application is created in a thread at the first request, so that the
    dashboard starts as fast as without it.
    """
    app, bases = _LazyApp(base), dict.fromkeys(("", base))
    others = (Route(f"{at}{path}", app) for at in bases for path in OUTSIDE)
    return [*(Mount(f"{at}/api", app) for at in bases), *others]


class _LazyApp:
    def __init__(self, base: str) -> None:
        self._base = base
        self._app: ASGIApp | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if self._app else await run_in_threadpool(self._create)
        # The application's own paths begin with /api, wherever it is mounted.
        inner = {name: value for name, value in scope.items() if name != "route"}
        below = scope.get("app_root_path", "")
        if self._base and scope["path"].startswith(f"{below}{self._base}/"):
            below += self._base
        await app(inner | {"root_path": below}, receive, send)

    def _create(self) -> ASGIApp:
        from sightglass.api.app import create

        with self._lock:
            if self._app is None:
                self._app = create()
            return self._app
