"""Private parts of Streamlit, checked when the server starts.

No other file imports a module of Streamlit's, except for types, or uses a name of it that begins with an underscore.
`NAMES` has every one.
"""

import hashlib
import inspect
import logging
import mmap
import re
import secrets
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import streamlit as st
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sightglass.common.errors import SettingProblem
from sightglass.ui.session import visitor

if TYPE_CHECKING:
    from streamlit.runtime.scriptrunner import ScriptRunContext

TRIED = "1.67"
"""The newest minor version of Streamlit with which all of this was tried; `make oldest` tries the oldest."""
NAMES = (
    "streamlit.runtime.scriptrunner.get_script_run_ctx",
    "streamlit.runtime.memory_uploaded_file_manager.MemoryUploadedFileManager.remove_file",
    "starlette.datastructures.UploadFile.read",
    "streamlit.runtime.uploaded_file_manager.UploadedFile.__init__",
    "streamlit.runtime.scriptrunner.script_runner.ScriptRunner._run_script",
    "streamlit.runtime.memory_media_file_storage._calculate_file_id",
    "streamlit.runtime.get_instance",
    "streamlit.runtime.media_file_manager.MediaFileManager.add",
    "streamlit.runtime.pages_manager.PagesManager.uses_pages_directory",
    "streamlit.net_util.get_external_ip",
)
"""The private names; where one is used, it says what to do without it."""


def _find(path: str) -> Any:
    """Return a private object; raise SettingProblem if it is missing."""
    try:
        return resolve_name(path)
    except (ImportError, AttributeError):
        raise SettingProblem(
            f"Streamlit {version('streamlit')} has no {path}, which Sightglass relies on: install the version that "
            f"it was tried with, pip install 'streamlit=={TRIED}.*'."
        ) from None


_objects = {path.rpartition(".")[2]: (_find(path.rpartition(".")[0]), _find(path)) for path in NAMES}
"""By name: what holds it, and the object itself."""
_KEY = secrets.token_bytes(32)
_CLOSED = 'Cannot call "send" once a close message has been sent'
"""How Starlette says that a WebSocket is closed already."""
ON_DISK = 2**20
"""Bytes of a request's file from which on Starlette writes it to the disk."""
_HAS_TOOLTIPS = "help" in inspect.signature(st.Page).parameters
"""Whether the links of pages take a help text: from Streamlit 1.67 on."""


def script_context() -> "ScriptRunContext | None":
    """Return the current thread's page run; None outside of one."""
    # Without it: an environment variable that the app's lifespan sets.
    context: ScriptRunContext | None = _objects["get_script_run_ctx"][1](suppress_warning=True)
    return context


def base_path() -> str:
    """Return the server's base path, without a slash at its end."""
    path = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def page_tooltip(help: str) -> dict[str, Any]:
    """Return the argument of `st.Page` for a help text; none where it takes none."""
    return {"help": help} if _HAS_TOOLTIPS else {}


def prepare_server() -> None:
    """Set server behaviour beyond Streamlit's options, before its start."""
    # For apps of Streamlit's first multipage kind a folder called `pages` is the menu: the first visit to /compare
    # would run that file alone, without what dashboard.py does. Without it: rename the folder.
    _replace("uses_pages_directory", False)
    # At every connection from another site's page Streamlit asks a host outside for this machine's address, for up to
    # two seconds in which it answers nobody. Without it: set browser.serverAddress.
    _replace("get_external_ip", lambda: None)
    # Streamlit's own addresses are a plain hash, and of files of more than 1 MiB one of three small parts: of two that
    # differ elsewhere, such as raw maps with the same margins, it would show everybody the first. Without it: offer raw
    # maps by the API's routes.
    _replace("_calculate_file_id", media_id)
    # Without it: report it to Streamlit if tests/browser/test_files.py shows an empty page.
    _replace("_run_script", skip_lost_fragments(_objects["_run_script"][1]))
    # Without them uploads of more than 1 MB are in memory, too.
    _replace("read", _read_file)
    _replace("__init__", _open_file)
    logging.getLogger("uvicorn.error").addFilter(_is_fault)


def _is_fault(record: logging.LogRecord) -> bool:
    """Return whether a server's log record is more than a browser that left while it was being sent to.

    Streamlit takes Starlette's word on such a connection for a text frame and closes it again, which raises.
    """
    if not record.exc_info:
        return True
    return _CLOSED not in str(record.exc_info[1])


def styled_routes(names: Iterable[str], base: str = "") -> list[Route]:
    """Return routes for `st.App(__file__, routes=...)` that answer the pages with Streamlit's index and our styles.

    Styles that arrive with a page's first elements come too late: what was drawn without them moves. Where it is not
    told its address, Streamlit looks for the server below the page's, too. `names`: addresses of the pages, in any
    case; the first one's leads to the root. `base`: the path at which a proxy shows the server.
    """
    folder = Path(__file__).parent / "widgets"
    style = f"<style>{(folder / 'layout.css').read_text('utf-8')}</style>"
    style += f"<style id=waits>{(folder / 'waits.css').read_text('utf-8')}</style>"
    where = "window.__streamlit = { BACKEND_BASE_URL: location.origin + location.pathname.replace(/[^/]*$/, '') };"
    tab = (folder / "tab.js").read_text("utf-8")
    head = f"<script>{where}\n{tab}</script>{style}</head>"
    index = (Path(st.__file__).parent / "static/index.html").read_text("utf-8").replace("</head>", head, 1)

    pages = [*names]

    async def answer(request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        # Streamlit knows a page in small letters alone, and the first one by no name.
        page, query = name.lower().removeprefix(pages[0]), request.url.query
        if page != name:
            return RedirectResponse(f"./{page}?{query}" if query else f"./{page}")
        response = HTMLResponse(index, headers={"Cache-Control": "no-cache"})
        browser = request.cookies.get(visitor.COOKIE, "")
        browser = browser if visitor.is_id(browser) else visitor.new_id()
        secure, path = request.url.scheme == "https", base or "/"
        look: dict[str, Any] = {"path": path, "secure": secure, "httponly": True, "samesite": "lax"}
        response.set_cookie(visitor.COOKIE, browser, max_age=visitor.COOKIE_AGE, **look)
        return response

    routes = [Route(f"{at}/{name}", answer) for at in dict.fromkeys(("", base)) for name in ("", *pages)]
    for route in routes:
        route.path_regex = re.compile(route.path_regex.pattern, re.IGNORECASE)
    return routes


def _replace(name: str, value: Any) -> None:
    setattr(_objects[name][0], name, value)


def media_id(data: bytes, mimetype: str, filename: str | None = None) -> str:
    """Return an unguessable address for a file, from its bytes and key."""
    digest = hashlib.blake2b(repr((mimetype, filename)).encode("utf-8", "surrogatepass"), digest_size=28, key=_KEY)
    digest.update(data)
    return digest.hexdigest()


def skip_lost_fragments(run: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return a page runner without runs of lost fragments.

    A run of a fragment of the former page may come after another page has opened: Streamlit would empty that page. What
    was typed on the former page arrives in the same request, and is kept.
    """

    def run_page(runner: Any, request: Any) -> None:
        fragment_ids = request.fragment_id_queue
        if not fragment_ids or any(map(runner._fragment_storage.contains, fragment_ids)):
            run(runner, request)
        elif request.widget_states is not None:
            runner._session_state.on_script_will_rerun(request.widget_states)

    return run_page


async def _read_file(upload: Any, size: int = -1) -> Any:
    """Return the bytes of a request's file; map one of more than `ON_DISK` bytes."""
    if size >= 0 or (upload.size or 0) <= ON_DISK:
        return await _objects["read"][1](upload, size)
    # Starlette has written it to a temporary file, which stays until nothing maps it.
    upload.file.flush()
    return mmap.mmap(upload.file.fileno(), 0, access=mmap.ACCESS_READ)


def _open_file(file: Any, record: Any, urls: Any) -> None:
    """Initialize an uploaded file, which stays on the disk where it is mapped."""
    mapped = isinstance(record.data, mmap.mmap)
    _objects["__init__"][1](file, record._replace(data=b"") if mapped else record, urls)
    if mapped:
        file.size, file.getbuffer = len(record.data), lambda: memoryview(record.data)
        file.getvalue = lambda: record.data[:]


def remove_upload(file_id: str) -> None:
    """Drop Streamlit's copy of an uploaded file, which would live as long as its session."""
    if (context := script_context()) is not None:
        context.uploaded_file_mgr.remove_file(context.session_id, file_id)  # type: ignore[attr-defined]


def media_url(data: bytes, mimetype: str, place: str) -> str:
    """Return a file's address below the page's, good while the page shows it; `place`: what the page names it by."""
    # Without it: put the bytes themselves into the Markdown.
    url: str = _objects["add"][1](_objects["get_instance"][1]().media_file_mgr, data, mimetype, place)
    return url.lstrip("/")
