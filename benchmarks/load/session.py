"""Dashboard session without a browser, over Streamlit's protocol.

The server cannot tell it from a browser: it has a WebSocket, a session and its state, uploads files by HTTP, sends the
values of widgets back, and gets every message that a page gets. Only nothing is drawn, so that twenty fit beside the
server on a small machine.
"""

from __future__ import annotations

import http.client
import time
import uuid
import zlib
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from benchmarks.load.pictures import digest
from sightglass.common.files.packing import unpack_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.load.pictures import Marked

PATIENCE = 120.0
"""Seconds without any message after which a server hangs."""
XSRF = "_streamlit_xsrf"
BOUNDARY = "sightglass-benchmark"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def multipart(field: str, name: str, data: bytes) -> bytes:
    """Return a form with one JPEG file, separated by `BOUNDARY`."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
    return head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + data + f"\r\n--{BOUNDARY}--\r\n".encode()


class SessionProblem(Exception):
    """The server did not do what a page may expect; the message is for the report."""


@dataclass
class Answer:
    """What came of one upload."""

    shown: float = 0.0
    """Seconds from the file's first byte to the map in the page."""
    finished: float = 0.0
    """Seconds to the end of the run, with all sentences and numbers below the map."""
    problem: str = ""


@dataclass
class _View:
    """What the page shows, in the order in which it came."""

    viewers: list[bytes] = field(default_factory=list)
    """Payloads of the viewer."""
    first: float = 0.0
    """When the last of them came."""
    failures: list[str] = field(default_factory=list)


class Session:
    """One person at the dashboard."""

    def __init__(self, address: str) -> None:
        """Open the address's first page and wait for its drawing."""
        self._host, self._port = urlsplit(address).hostname or "", urlsplit(address).port
        self._id = self._page = self._query = self._uploader = ""
        self._drawn = 0  # A run that draws the uploader has taken what was given before.
        self._xsrf = self._read_token()
        stream = f"ws://{self._host}:{self._port}/_stcore/stream"
        protocols: Any = ["streamlit", *([self._xsrf] if self._xsrf else [])]
        cookie = {"Cookie": f"{XSRF}={self._xsrf}"} if self._xsrf else {}
        self._open = ExitStack()
        self._socket = self._open.enter_context(
            connect(stream, subprotocols=protocols, additional_headers=cookie, max_size=None, compression=None)
        )
        try:
            self._rerun()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave as a closed tab does."""
        self._open.close()

    def upload(self, name: str, data: bytes, expected: Marked, before: tuple[str, bytes] | None = None) -> Answer:
        """Upload a picture and compare the page with `expected`.

        `before`: the name and bytes of another, given first; this one then comes in the middle of its run.
        """
        if before is not None:
            self._begin_run(*before)
        start = time.perf_counter()
        view = self._rerun(name, data)
        end = time.perf_counter()
        problem = "; ".join(dict.fromkeys(view.failures)) or self._find_difference(view, name, data, expected)
        return Answer(max(0.0, (view.first or end) - start), end - start, problem)

    def walk_away(self, name: str, data: bytes) -> None:
        """Give the page a picture, and leave before it has answered."""
        self._request(name, data)
        self.close()

    def _begin_run(self, name: str, data: bytes) -> None:
        """Upload a picture and go on once the next is accepted."""
        drawn = self._drawn
        self._request(name, data)
        for message in self._messages():
            self._handle(message, _View())
            if self._drawn > drawn:
                return

    def _find_difference(self, view: _View, name: str, data: bytes, expected: Marked) -> str:
        """Return the last view's errors; empty if correct."""
        if not view.viewers:
            return f"{name}: the page shows no map"
        head, (picture, *grids) = unpack_data(view.viewers[-1])
        if picture != data:
            return f"{name}: the page shows another picture"
        titles = tuple(item["title"] for panel in head["panels"] for item in panel["maps"])
        if not grids or titles != expected.titles:
            return f"{name}: the page shows the classes {', '.join(titles) or '(none)'}"
        right = digest(zlib.decompress(grids[0])) == expected.shown
        return "" if right else f"{name}: the page shows maps that are not this picture's"

    def _read_token(self) -> str:
        answer = self._call("GET", "/_stcore/health")
        cookies = [value for key, value in answer.getheaders() if key.lower() == "set-cookie"]
        tokens = [cookie.partition("=")[2].partition(";")[0] for cookie in cookies if cookie.startswith(XSRF)]
        return tokens[0] if tokens else ""

    def _call(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        with closing(http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)) as line:
            line.request(method, path, body, headers or {})
            answer = line.getresponse()
            answer.read()
            return answer

    def _send_file(self, name: str, data: bytes) -> Any:
        """Upload a file as the page does; return its server id."""
        request = BackMsg()
        request.file_urls_request.request_id = uuid.uuid4().hex
        request.file_urls_request.file_names.append(name)
        request.file_urls_request.session_id = self._id
        self._socket.send(request.SerializeToString())
        for message in self._messages():
            # A run of the page may go on meanwhile.
            self._handle(message, _View())
            if _kind(message) == "file_urls_response":
                urls = message.file_urls_response.file_urls[0]
                break
        headers = FORM | ({"X-Xsrftoken": self._xsrf, "Cookie": f"{XSRF}={self._xsrf}"} if self._xsrf else {})
        answer = self._call("PUT", urls.upload_url, multipart(name, name, data), headers)
        if answer.status >= 300:
            raise SessionProblem(f"an upload was answered with {answer.status}")
        return urls

    def _rerun(self, name: str = "", data: bytes = b"") -> _View:
        """Run the page, with a picture if it is named, and return its view."""
        self._request(name, data)
        view, begun = _View(), False
        for message in self._messages():
            if _kind(message) == "new_session":
                # What came until now is of the run before.
                view, begun = _View(failures=view.failures), True
            done = _kind(message) == "script_finished" and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
            if begun and done:
                return view
            self._handle(message, view)
        raise SessionProblem("the server hung up")

    def _request(self, name: str, data: bytes) -> None:
        urls = self._send_file(name, data) if name else None
        request = BackMsg()
        state = request.rerun_script
        state.query_string, state.page_script_hash = self._query, self._page
        if urls is not None:
            widget = state.widget_states.widgets.add()
            widget.id = self._uploader
            info = widget.file_uploader_state_value.uploaded_file_info.add()
            info.name, info.size, info.file_id = name, len(data), urls.file_id
            info.file_urls.CopyFrom(urls)
        state.SetInParent()
        self._socket.send(request.SerializeToString())

    def _handle(self, message: ForwardMsg, view: _View) -> None:
        kind = _kind(message)
        if kind == "new_session":
            self._page = message.new_session.page_script_hash
            self._id = message.new_session.initialize.session_id or self._id
        elif kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            self._element(message.delta.new_element, view)

    def _element(self, element: Any, view: _View) -> None:
        kind = element.WhichOneof("type")
        if kind == "file_uploader" and element.file_uploader.label == "Upload pictures":
            self._uploader, self._drawn = element.file_uploader.id, self._drawn + 1
        elif kind == "bidi_component" and element.bidi_component.component_name.endswith("sightglass_viewer"):
            view.viewers.append(element.bidi_component.bytes)
            view.first = time.perf_counter()
        elif kind == "exception" or (kind == "alert" and element.alert.format == element.alert.ERROR):
            text = element.alert.body if kind == "alert" else element.exception.message
            view.failures.append(f"the page says: {text[:200]}")

    def _messages(self) -> Iterator[ForwardMsg]:
        while True:
            try:
                data = self._socket.recv(timeout=PATIENCE)
            except TimeoutError as error:
                raise SessionProblem(f"no message came for {PATIENCE:g} s") from error
            assert isinstance(data, bytes)
            message = ForwardMsg()
            message.ParseFromString(data)
            yield message


def _kind(message: ForwardMsg) -> str:
    return str(message.WhichOneof("type"))
