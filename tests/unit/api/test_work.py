"""What the API takes on: its queue, a request's length and pace, its metrics, its health and its settings."""

import asyncio
import contextvars
import os
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from prometheus_client import generate_latest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient

from sightglass.api import metrics, prepare
from sightglass.api.app import create
from sightglass.api.problems import ApiProblem
from sightglass.api.work import FIELD_BYTES, WorkQueue, answer, leave_place
from sightglass.common import access
from sightglass.common import settings as environment_settings
from sightglass.common.errors import SettingProblem
from sightglass.common.work import progress
from sightglass.common.work.progress import BACKGROUND_PRIORITY, check
from sightglass.explain.picture.image import to_png
from sightglass.explain.received import model as received
from sightglass.models import catalog
from sightglass.models.families.exported import workers
from tests import loops
from tests.servers import listening, settings_of, until
from tests.unit.api.test_errors import told
from tests.waits import patience


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue(workers=2, waiting=4)


def endless() -> None:
    while True:
        time.sleep(0.005)
        check()


async def at_work(queue: WorkQueue, running: int, waiting: int = 0) -> None:
    """Wait until so many jobs run and wait: threads of low priority start late on a busy machine."""
    while (queue.running, len(queue)) != (running, running + waiting):
        await asyncio.sleep(0.005)


def test_queue_burst_answers_some_refuses_rest(queue: WorkQueue) -> None:
    opened, served, begun, most = threading.Event(), list[int](), list[int](), list[int]()

    def work(number: int) -> bool:
        begun.append(number)
        most.append(len(begun) - len(served))
        assert opened.wait(patience(10))
        served.append(number)
        return True

    async def burst() -> list[object]:
        asked = [
            asyncio.ensure_future(queue.run(lambda number=number: work(number), timeout=patience(10)))
            for number in range(50)
        ]
        while sum(job.done() for job in asked) < 44:
            await asyncio.sleep(0.005)
        opened.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = loops.run(burst())
    refused = [answer for answer in answers if isinstance(answer, ApiProblem) and answer.status == 429]
    assert answers[:6] == [True] * 6 and len(refused) == 44 and sorted(served) == list(range(6))
    assert {busy.headers["Retry-After"] for busy in refused} == {"3"}
    until(lambda: not len(queue))
    assert max(most) == 2


def test_queue_timeout_frees_its_place(queue: WorkQueue) -> None:
    told, end = threading.Event(), threading.Event()

    def deaf() -> None:
        try:
            endless()
        finally:
            told.set()
            end.wait(patience(60))

    # Long enough for the thread to start in.
    limit = round(patience(1), 1)
    with pytest.raises(ApiProblem, match=rf"after {limit:g} s") as stopped:
        loops.run(queue.run(deaf, timeout=limit))
    assert stopped.value.status == 504
    assert told.wait(patience(20)) and queue.running == 1
    end.set()
    until(lambda: not len(queue))


def test_jobs_that_wait_for_a_process_leave_their_places(queue: WorkQueue) -> None:
    end = threading.Event()

    def elsewhere() -> str:
        leave_place()
        assert end.wait(patience(60))
        return "after"

    async def asked() -> list[object]:
        slow = [asyncio.ensure_future(queue.run(elsewhere, timeout=patience(30))) for _ in range(5)]
        while sum(job.done() for job in slow) < 1:
            await asyncio.sleep(0.005)
        quick = [await queue.run(lambda: "beside", timeout=patience(30)) for _ in range(3)]
        assert (len(queue), queue.running, queue.stuck) == (0, 0, 0)
        end.set()
        return [*quick, *await asyncio.gather(*slow, return_exceptions=True)]

    answers = loops.run(asked())
    refused = [answer for answer in answers if isinstance(answer, ApiProblem)]
    assert answers.count("beside") == 3 and answers.count("after") == 4
    assert [answer.status for answer in refused] == [429]


def test_queue_keeps_context_and_priority(queue: WorkQueue) -> None:
    name = contextvars.ContextVar("name", default="nobody")

    async def asked(who: str) -> str:
        name.set(who)
        return await queue.run(name.get, timeout=patience(5))

    assert loops.run(asked("one")) == "one"
    if sys.platform == "linux":

        def priority() -> int:
            return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

        before = priority()
        assert loops.run(queue.run(priority, timeout=patience(5))) == max(before, BACKGROUND_PRIORITY)
        assert priority() == before


def test_hang_up_frees_the_place(queue: WorkQueue) -> None:
    async def hung_up() -> None:
        asked = [asyncio.ensure_future(queue.run(endless, timeout=patience(30))) for _ in range(6)]
        await at_work(queue, running=2, waiting=4)
        for one in (*asked[4:], asked[0]):
            one.cancel()
        await at_work(queue, running=2, waiting=1)
        for one in asked:
            one.cancel()

    loops.run(hung_up())
    until(lambda: not len(queue))


BODY = 1000 * 4 // 3 + 1024 + FIELD_BYTES
"""What one picture of at most 1000 bytes may take."""
JSON = {"content-type": "application/json"}


class Anything(BaseModel):
    image: str = ""
    text: str = ""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The API with two routes more, of which one answers how long the text of the body is."""
    app = create()
    monkeypatch.setenv("SIGHTGLASS_API_MB", str(1000 / 2**20))

    def measure(request: Anything, _kind: str) -> bytes:
        return str(len(request.text)).encode()

    def wait(_request: Anything, _kind: str) -> bytes:
        while True:
            time.sleep(0.01)
            progress.check()

    @app.post("/api/measured")
    async def measured(request: Request) -> Response:
        return await answer(request, Anything, measure)

    @app.post("/api/endless")
    async def endless(request: Request) -> Response:
        return await answer(request, Anything, wait)

    with listening(app) as at:
        yield at


def post(url: str, body: bytes | Iterable[bytes] = b'{"text": "abc"}') -> httpx.Response:
    return httpx.post(url, content=body, headers=JSON, timeout=patience(20))


def hang_up(url: str, length: int) -> None:
    """Begin a request whose body has this length, send two bytes of it, and leave."""
    at = urlsplit(url)
    with socket.create_connection((at.hostname, at.port)) as line:
        head = f"POST {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Type: application/json\r\n"
        line.sendall(f"{head}Content-Length: {length}\r\n\r\n{{}}".encode())


def test_a_body_that_is_too_long_is_not_taken(address: str) -> None:
    url, text = f"{address}/api/measured", b'{"text": "' + b"x" * (BODY - 12) + b'"}'
    assert post(url, text).content == str(BODY - 12).encode()
    # By what comes, of whatever length: who is still sending is heard out, for a while.
    assert "MiB" in told(post(url, text + b" "), 413, "size")
    assert "MiB" in told(post(url, iter([b"x" * 4096] * 1000)), 413, "size")


def test_nothing_that_was_sent_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(access, "in_use", lambda: access.Access("token", "secret-token"))
    client, picture = TestClient(create()), to_png(np.zeros((8, 8, 3), np.uint8))
    with caplog.at_level(0):
        for file, words in ((picture, "secret-words"), (b"secret-bytes", "0")):
            files = {"image": ("secret-name.png", file)}
            fields = {"model": "demo-cls-s", "targets": words}
            answer = client.post("/api/explain", files=files, data=fields, headers={"X-API-Key": "secret-token"})
            assert answer.status_code in (400, 422) and "secret" in answer.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(("route", "length"), [("/api/measured", 1000), ("/api/endless", 2)])
def test_hang_up_counts_as_499(address, route, length, caplog):
    name = f'sightglass_requests_total{{method="POST",route="{route}",status="499"}}'
    before = counted().get(name, 0)
    hang_up(address + route, length)
    until(lambda: counted().get(name, 0) == before + 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def counted() -> dict[str, float]:
    lines = [
        line.rpartition(" ")
        for line in generate_latest(metrics.REGISTRY).decode().splitlines()
        if not line.startswith("#")
    ]
    return {name: float(value) for name, _, value in lines}


def test_metrics_count_answers_by_route(address, monkeypatch):
    def grown(name: str) -> float:
        return counted().get(name, 0) - before.get(name, 0)

    before = counted()
    for path in ("/api/measured", "/api/measured", "/made/up"):
        post(address + path)
    with monkeypatch.context() as patched:
        patched.setattr(access, "_IN_USE", [access.Access("token", "secret")])
        post(f"{address}/api/measured")
    until(lambda: grown('sightglass_requests_total{method="POST",route="other",status="401"}') == 1)
    assert grown('sightglass_requests_total{method="POST",route="/api/measured",status="200"}') == 2
    assert grown('sightglass_requests_total{method="POST",route="other",status="404"}') == 1
    assert grown('sightglass_request_seconds_count{route="/api/measured"}') == 2
    assert not any("made" in name for name in counted())
    metrics.count_explained(catalog.spec("efficientnet-lite0"), "gradcam")
    assert grown('sightglass_explanations_total{method="gradcam",model="efficientnet-lite0"}') == 1


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[TestClient]:
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    with TestClient(create()) as made:
        yield made


def _ready(client: TestClient) -> Any:
    return client.get("/api/health/ready")


def test_ready_is_who_has_its_model_and_its_history(client, monkeypatch, tmp_path):
    assert client.get("/api/health/alive").json() == client.get("/api/health").json()
    assert _ready(client).json() == {"status": "ready"}
    lacking = next(spec.id for spec in catalog.catalog().values() if not catalog.available(spec))
    with settings_of(api_model=lacking):
        answer = _ready(client)
    assert "not on this machine" in told(answer, 503, "unready") and answer.headers["retry-after"] == "2"
    with monkeypatch.context() as patch:
        patch.setattr(workers.POOL, "busy", workers.MOST)
        assert "All workers are busy" in told(_ready(client), 503, "unready")
        assert counted()['sightglass_processes{state="busy"}'] == workers.MOST
    with monkeypatch.context() as patch:
        patch.setattr(received, "all_busy", lambda: True)
        assert "All workers are busy" in told(_ready(client), 503, "unready")
    (tmp_path / "file").touch()
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "file/history"))
    assert "cannot be written" in told(_ready(client), 503, "unready")


def test_ready_again_once_a_worker_is_back(client: TestClient) -> None:
    """Requests that are over, of which no pass comes back: no worker can take another one."""
    app: Any = client.app
    queue: WorkQueue = app.state.queue
    end = threading.Event()

    def hang() -> None:
        end.wait(patience(60))

    async def leave() -> None:
        asked = [asyncio.ensure_future(queue.run(hang, timeout=patience(30))) for _ in range(queue.workers)]
        await at_work(queue, running=queue.workers)
        assert _ready(client).is_success, "they are at work for somebody"
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    loops.run(leave())
    assert "All workers are busy" in told(_ready(client), 503, "unready")
    assert counted()["sightglass_workers_stuck"] == queue.workers
    end.set()
    until(lambda: not queue.stuck)
    assert _ready(client).is_success


def test_all_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_API_MODEL", "nothing")
    with pytest.raises(SettingProblem, match=r"^SIGHTGLASS_API_MODEL: There is no model 'nothing'"):
        prepare()
    monkeypatch.setenv("SIGHTGLASS_MEMORY_MB", "abc")
    monkeypatch.setenv("SIGHTGLASS_API_MB", "abc")
    with pytest.raises(SettingProblem, match=r"MEMORY_MB is 'abc': it should .*\. SIGHTGLASS_API_MB is 'abc'"):
        prepare()


def test_kubernetes_service_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SIGHTGLASS_SERVICE_HOST": "10.0.0.11",
        "SIGHTGLASS_PORT": "tcp://10.0.0.11:8501",
        "SIGHTGLASS_PORT_8501_TCP": "tcp://10.0.0.11:8501",
    }.items():
        monkeypatch.setenv(name, value)
    environment_settings.check()
    monkeypatch.setenv("SIGHTGLASS_PORT", "8501")
    with pytest.raises(SettingProblem, match="There is no setting SIGHTGLASS_PORT:"):
        environment_settings.check()


def test_a_missing_folder_or_table_is_a_warning(monkeypatch, tmp_path, caplog):
    (tmp_path / "broken.toml").write_text("x = [")
    monkeypatch.setenv("SIGHTGLASS_API_MODEL", "demo-cls-s")
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path / "nowhere"))
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "broken.toml"))
    prepare()
    assert {record.getMessage() for record in caplog.records} == {
        f"SIGHTGLASS_WEIGHTS names {tmp_path}/nowhere, which is no folder here: correct it.",
        "broken.toml cannot be read (Invalid value (at end of document)).",
    }
