"""Private parts of Streamlit, checked when the server starts.

No other file imports a module of Streamlit's, except for types, or uses a name of it that begins with an underscore.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import contextmanager
from importlib.metadata import version
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import SettingProblem
from sightglass.models import own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamlit.runtime.scriptrunner import ScriptRunContext

TRIED = "1.67"
"""The minor version of Streamlit with which all of this was tried."""


def _find(path: str, *attributes: str) -> Any:
    """Return a private object; raise SettingProblem if it or one of its attributes is missing."""
    try:
        owner = resolve_name(path)
    except (ImportError, AttributeError):
        owner, attributes = None, (path,)
    # Some objects have any attribute that is asked for.
    known = {*dir(owner), *getattr(owner, "__annotations__", ())} if attributes else ()
    if missing := next((name for name in attributes if name not in known), None):
        raise SettingProblem(
            f"Streamlit {version('streamlit')} has no {missing}, which Sightglass relies on: install the version that "
            f"it was tried with, pip install 'streamlit=={TRIED}.*'."
        )
    return owner


get_cookie_with_chunks = _find("streamlit.auth_util.get_cookie_with_chunks")
get_origin_from_redirect_uri = _find("streamlit.auth_util.get_origin_from_redirect_uri")
get_secrets_auth_section = _find("streamlit.auth_util.get_secrets_auth_section")
get_cookie_secret = _find("streamlit.web.server.server_util.get_cookie_secret")
get_url = _find("streamlit.web.server.server_util.get_url")
decode_signed_value = _find("streamlit.web.server.starlette.starlette_app_utils.decode_signed_value")
USER_COOKIE_NAME = _find("streamlit.web.server.starlette.starlette_server_config.USER_COOKIE_NAME")
enqueue_message = _find("streamlit.runtime.scriptrunner_utils.script_run_context.enqueue_message")

_config = _find("streamlit.config", "get_option", "set_option")
_context = _find("streamlit.runtime.scriptrunner.get_script_run_ctx")
_element = _find("streamlit.proto.Element_pb2.Element")
_main = _find("streamlit._main")
_media = _find("streamlit.runtime.memory_media_file_storage", "_calculate_file_id")
_navigation = _find("streamlit.commands.navigation", "send_page_not_found")
_net = _find("streamlit.net_util", "get_external_ip", "get_internal_ip")
_pages = _find("streamlit.runtime.pages_manager.PagesManager", "uses_pages_directory")
_runner = _find("streamlit.runtime.scriptrunner.script_runner.ScriptRunner", "_run_script")

_find("streamlit.delta_generator.DeltaGenerator", "_transient")
_find("streamlit.runtime.fragment.MemoryFragmentStorage", "contains")
_find("streamlit.runtime.state.safe_session_state.SafeSessionState", "on_script_will_rerun")
_find("streamlit.runtime.scriptrunner.ScriptRunContext", "session_id", "uploaded_file_mgr")
_find("streamlit.runtime.memory_uploaded_file_manager.MemoryUploadedFileManager", "remove_file")

STATUS_ICON = ":material/hourglass_top:"
"""By which `widgets/layout.css` knows the line, and keeps it in sight however the page is scrolled."""
UPLOAD_OPTION = "server.maxUploadSize"
_limits: list[int] = []
"""The MB that the operator set, before models needed more."""
_KEY = secrets.token_bytes(32)


def script_context() -> ScriptRunContext | None:
    """Return the current thread's page run; None outside of one."""
    return _context(suppress_warning=True)


def prepare_server(miss_page: Callable[[], None] = lambda: None) -> None:
    """Set server behaviour beyond Streamlit's options, before its start.

    `miss_page` runs in a visit to an address without a page, in place of Streamlit's own dialog.
    """
    _navigation.send_page_not_found = lambda _: miss_page()
    # For apps of Streamlit's first multipage kind a folder called `pages` is the menu: the first visit to /compare
    # would run that file alone, without what dashboard.py does.
    _pages.uses_pages_directory = False
    # At every connection from another site's page Streamlit asks a host outside for this machine's address, for up to
    # two seconds in which it answers nobody.
    _net.get_external_ip = lambda: None
    # Streamlit's own addresses are a plain hash, and of files of more than 1 MiB one of three small parts: of two that
    # differ elsewhere, such as raw maps with the same margins, it would show everybody the first.
    _media._calculate_file_id = media_id
    _raise_upload_limit()
    _runner._run_script = skip_lost_fragments(_runner._run_script)


def media_id(data: bytes, mimetype: str, filename: str | None = None) -> str:
    """Return an unguessable address for a file, from its bytes and key."""
    digest = hashlib.blake2b(repr((mimetype, filename)).encode("utf-8", "surrogatepass"), digest_size=28, key=_KEY)
    digest.update(data)
    return digest.hexdigest()


def skip_lost_fragments(run: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return a page runner without runs of lost fragments.

    What a page asks for as another one opens comes after that one: Streamlit would empty it. What was typed there comes
    so, too, and is taken.
    """

    def run_page(runner: Any, request: Any) -> None:
        asked = request.fragment_id_queue
        if not asked or any(map(runner._fragment_storage.contains, asked)):
            run(runner, request)
        elif request.widget_states is not None:
            runner._session_state.on_script_will_rerun(request.widget_states)

    return run_page


def _raise_upload_limit() -> None:
    """Raise the server's limit to the size of model files."""
    limit = int(_config.get_option(UPLOAD_OPTION))
    _limits[:] = [limit]
    if own.is_on():
        _config.set_option(UPLOAD_OPTION, max(limit, own.upload_megabytes()))


def upload_megabytes() -> int:
    """Return an uploader's limit in MB, model files excepted."""
    return _limits[0] if _limits else int(_config.get_option(UPLOAD_OPTION))


def internal_address() -> str | None:
    """Return this machine's address in its network."""
    return _net.get_internal_ip()


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """Yield a function for status text at the window's foot.

    It raises where the session has ended, or asked for another run.
    """
    line = _element()
    line.spinner.text = STATUS_ICON
    create, clear = _main._transient(line)

    def show(text: str) -> None:
        line.spinner.text = f"{STATUS_ICON} {text}"
        enqueue_message(create())

    try:
        yield show
    finally:
        enqueue_message(clear())


def remove_upload(file_id: str) -> None:
    """Drop Streamlit's copy of an uploaded file."""
    if (context := script_context()) is not None:
        context.uploaded_file_mgr.remove_file(context.session_id, file_id)  # type: ignore[attr-defined]
