"""What we use and change of Streamlit's insides: addresses of files, lost runs of fragments, and its version."""

import logging
import mmap
import secrets
from collections.abc import Callable
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.websockets import WebSocket
from streamlit import net_util
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime import memory_media_file_storage
from streamlit.runtime.media_file_storage import MediaFileKind
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from sightglass.ui import streamlit_internals
from sightglass.ui.streamlit_internals import skip_lost_fragments
from tests.loops import run
from tests.packages import ROOT

MARGIN = bytes(1_200_000)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> MemoryMediaFileStorage:
    restored = (
        (memory_media_file_storage, "_calculate_file_id"),
        (net_util, "get_external_ip"),
        (PagesManager, "uses_pages_directory"),
        (UploadFile, "read"),
        (UploadedFile, "__init__"),
    )
    for owner, name in restored:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    streamlit_internals.prepare_server()
    return MemoryMediaFileStorage("/media")


def test_similar_large_files_are_distinct(files: MemoryMediaFileStorage) -> None:
    whose = {name: MARGIN[:300_000] + name + MARGIN for name in (b"Anna's map", b"Ben's map.")}
    ids = [files.load_and_get_id(data, "image/png", MediaFileKind.MEDIA, "map.png") for data in whose.values()]
    assert [files.get_file(id_).content for id_ in ids] == list(whose.values())
    again = files.load_and_get_id(whose[b"Ben's map."], "image/png", MediaFileKind.MEDIA, "map.png")
    assert again == ids[1]
    assert files.load_and_get_id(whose[b"Ben's map."], "image/png", MediaFileKind.MEDIA, "other.png") != again


async def _close_again() -> None:
    """Close a WebSocket twice, as Streamlit does where the browser leaves while it is being sent to."""

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        pass

    socket = WebSocket({"type": "websocket"}, receive, send)
    await socket.accept()
    await socket.close()
    await socket.close()


async def _fail() -> None:
    raise RuntimeError("A fault of our own.")


@pytest.mark.parametrize(("work", "logged"), [(_close_again, 0), (_fail, 1)])
def test_browser_that_left_is_not_logged(
    files, caplog, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any], logged: int
) -> None:
    # A server that another test started may keep its log to itself, or leave errors out.
    caplog.set_level(logging.ERROR, logger="uvicorn.error")
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "handlers", [caplog.handler])
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "propagate", False)
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "disabled", False)
    try:
        run(work())
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    assert len(caplog.records) == logged


@pytest.mark.parametrize(("size", "kind"), [(1000, bytes), (2_000_000, mmap.mmap)])
def test_large_uploads_stay_on_the_disk(files, size: int, kind: type) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        form = await Request(scope, receive).form()
        received.append(await form["file"].read())  # type: ignore[union-attr]
        await form.close()
        await Response()(scope, receive, send)

    received: list[Any] = []
    data = secrets.token_bytes(size)
    TestClient(app).put("/", files={"file": ("a.zip", data)})
    file = UploadedFile(UploadedFileRec("1", "a.zip", "", received[0]), FileURLs())
    assert isinstance(received[0], kind) and file.size == size
    assert file.getvalue() == data == bytes(file.getbuffer())


@pytest.mark.parametrize(
    ("path", "page"), [("/Compare?a=1", "./compare?a=1"), ("/EXPLORE", "./"), ("/p/explore", "./"), ("/compare", None)]
)
def test_pages_are_found_in_any_case(path: str, page: str | None) -> None:
    app = Starlette(routes=streamlit_internals.styled_routes(["explore", "compare"], "/p"))
    assert TestClient(app).get(path, follow_redirects=False).headers.get("location") == page


def test_who_has_a_file_cannot_work_out_its_address(files, monkeypatch):
    here = files.load_and_get_id(b"a picture", "image/png", MediaFileKind.MEDIA)
    monkeypatch.setattr(streamlit_internals, "_KEY", bytes(32))
    assert files.load_and_get_id(b"a picture", "image/png", MediaFileKind.MEDIA) != here


def test_runs_of_gone_fragments_are_skipped() -> None:
    ran: list[Any] = []
    run = skip_lost_fragments(lambda _runner, request: ran.append(request))
    here: Any = SimpleNamespace(contains=lambda key: key == "here")
    reran: list[Any] = []
    runner = SimpleNamespace(_fragment_storage=here, _session_state=SimpleNamespace(on_script_will_rerun=reran.append))
    typed: Any = object()
    full, present = (RerunData(fragment_id_queue=queue) for queue in ([], ["gone", "here"]))
    lost, note = (RerunData(fragment_id_queue=["gone"], widget_states=states) for states in (None, typed))
    for request in (full, lost, present, note):
        run(runner, request)
    assert ran == [full, present]
    # What was typed as the page was left is kept.
    assert reran == [typed]


def test_streamlit_version_is_tried() -> None:
    assert version("streamlit").startswith(f"{streamlit_internals.TRIED}.")
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    (allowed,) = (Requirement(line).specifier for line in lines if line.startswith("streamlit"))
    assert allowed.contains(f"{streamlit_internals.TRIED}.0") and not allowed.contains("2.0")
