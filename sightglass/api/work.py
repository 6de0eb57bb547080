"""Read requests' bodies, and run their work in a bounded number of threads.

Work runs at low priority, so that the dashboard's pages come first. Nothing waits forever: a request that reaches its
time limit is refused, and the work of one whose client disconnects is cancelled.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import json
import logging
import math
import statistics
import threading
import time
from collections import Counter, deque
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import anyio
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from sightglass.api.problems import ApiProblem, from_validation
from sightglass.api.schemas import Index
from sightglass.common.work import progress
from sightglass.common.work.progress import lower_priority, stopped_by

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from starlette.requests import Request

    from sightglass.api.schemas import ApiRules
    from sightglass.common.files import Json

MAX_RETRY_AFTER = 60
"""Longest Retry-After, in seconds: no estimate is good for longer."""
DEFAULT_SECONDS = 1.0
"""Assumed duration of work before any has finished."""
BEFORE = "X-Queue-Before"
"""Header that says how many requests were at work or waited when this one came."""
MEDIA_TYPES = {
    "json": "application/json",
    "png": "image/png",
    "npy": "application/x-npy",
    "zip": "application/zip",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}
FORM = "multipart/form-data"
PICTURES = {"image": "name", "other": "other_name"}
"""Fields that are files, and the field for the file's name."""
FIELD_BYTES = 256 * 1024
"""Bytes allowed for everything but the pictures."""
MAX_BODY_SECONDS = 60.0
"""Time limit for a whole body."""
MAX_DRAINED, DRAIN_SECONDS = 64 * 2**20, 5.0
"""Bytes of a refused body that are read and dropped: a client that is still sending does not read the answer."""
# The answer says why a form cannot be read.
logging.getLogger("python_multipart").setLevel(logging.ERROR)
T = TypeVar("T")
RequestT = TypeVar("RequestT", bound=BaseModel)
_IN_FLIGHT: dict[anyio.CancelScope, asyncio.AbstractEventLoop] = {}
"""Requests for work that are not answered yet, each with its event loop."""
progress.on_stop(lambda: None, lambda: bool(_IN_FLIGHT))


@contextmanager
def in_flight() -> Iterator[None]:
    """Hold off shutdown during a request; raise ApiProblem, 503, when stopping."""
    if progress.stopping():
        raise _stopping()
    with anyio.CancelScope() as scope:
        _IN_FLIGHT[scope] = asyncio.get_running_loop()
        try:
            yield
        finally:
            del _IN_FLIGHT[scope]
    if scope.cancelled_caught:
        raise _stopping()


def give_back() -> None:
    """Answer all requests in flight with 503, from any thread."""
    for scope, loop in tuple(_IN_FLIGHT.items()):
        loop.call_soon_threadsafe(scope.cancel)


def _stopping() -> ApiProblem:
    detail = "This server is stopping: try again in a moment."
    return ApiProblem(503, "busy", detail, {"Retry-After": "5", "Connection": "close"})


@dataclass(eq=False)
class _Job:
    """Work for one request; `cancel` is set once nobody awaits it."""

    cancel: threading.Event = field(default_factory=threading.Event)
    started: float | None = None
    future: concurrent.futures.Future[Any] | None = None


class WorkQueue:
    """Run up to `workers` jobs (at least one) at the same time and queue up to `waiting` more; refuse any others."""

    def __init__(self, workers: int = 2, waiting: int = 16) -> None:
        self.workers, self.waiting = max(1, workers), max(0, waiting)
        self._limiter = anyio.CapacityLimiter(self.workers)
        # Not anyio's threads: they have normal priority, and the next job would begin beside an abandoned one.
        self._pool = concurrent.futures.ThreadPoolExecutor(self.workers, "api", initializer=lower_priority)
        self._jobs: set[_Job] = set()
        self._closed = False
        self._durations: deque[float] = deque(maxlen=32)
        self.counts: Counter[str] = Counter()
        """Jobs since the start that were `done`, `refused`, `timed_out` or `disconnected`."""

    def __len__(self) -> int:
        """Return the number of jobs at work or waiting."""
        return len(self._jobs)

    def check(self) -> None:
        """Raise ApiProblem, 429, for a full queue."""
        if self._closed or len(self) >= self.workers + self.waiting:
            self.counts["refused"] += 1
            raise self._busy()

    async def run(self, work: Callable[[threading.Event], T], *, timeout: float) -> T:
        """Run `work` in a thread; its argument is a cancel event.

        `timeout`: seconds from now. Raises ApiProblem: 429 at once if the queue is full, later if the job was still
        waiting at the timeout, and 504 if it had started. An abandoned job keeps its place until its thread is done.
        """
        self.check()
        job = _Job()
        self._jobs.add(job)
        try:
            with anyio.move_on_after(timeout):
                async with self._limiter:
                    if self._closed:
                        raise self._busy()
                    return await asyncio.wrap_future(self._start(job, work))
        finally:
            job.cancel.set()
            if job.future is None:
                self._jobs.discard(job)
        if job.started is None:
            raise self._busy()
        self.counts["timed_out"] += 1
        words = "choose a faster method, fewer masks or classes, or a smaller model."
        raise ApiProblem(504, "timeout", f"This was stopped after {timeout:g} s: {words}")

    def _start(self, job: _Job, work: Callable[[threading.Event], T]) -> concurrent.futures.Future[T]:
        context = contextvars.copy_context()

        def call() -> T:
            job.started = time.monotonic()
            try:
                with stopped_by(job.cancel):
                    return context.run(work, job.cancel)
            except StopIteration as error:
                # A future does not accept it.
                raise RuntimeError("the work raised StopIteration") from error
            finally:
                self._durations.append(time.monotonic() - job.started)
                self.counts["done"] += not job.cancel.is_set()

        future = job.future = self._pool.submit(call)
        future.add_done_callback(lambda _: self._jobs.discard(job))
        return future

    def _busy(self) -> ApiProblem:
        """Return the answer for a full queue, with a retry time."""
        waiting = max(1, len(self) - self.workers + 1)
        seconds = min(max(1, math.ceil(self.seconds * waiting / self.workers)), MAX_RETRY_AFTER)
        headers = {"Retry-After": str(seconds), BEFORE: str(len(self)), "Connection": "close"}
        return ApiProblem(429, "busy", f"Too many requests are waiting: try again in {seconds} s.", headers)

    @property
    def seconds(self) -> float:
        """Median duration of recent jobs."""
        return statistics.median_low([*self._durations] or [DEFAULT_SECONDS])

    @property
    def running(self) -> int:
        """Number of busy workers."""
        return sum(job.started is not None for job in tuple(self._jobs))

    @property
    def abandoned(self) -> int:
        """Number of workers busy with abandoned jobs."""
        return sum(job.started is not None and job.cancel.is_set() for job in tuple(self._jobs))

    def close(self, wait: float = 0.0) -> bool:
        """Close the queue and cancel jobs; return whether all ended in time."""
        self._closed = True
        jobs = tuple(self._jobs)
        for job in jobs:
            job.cancel.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        started = [job.future for job in jobs if job.future is not None and not job.future.cancelled()]
        return not concurrent.futures.wait(started, wait).not_done


async def run_queued(request: Request, work: Callable[[threading.Event], T]) -> tuple[T, dict[str, str]]:
    """Run `work` in the application's queue; return its result and headers.

    Raises ClientDisconnect where the client left.
    """
    queue: WorkQueue = request.app.state.queue
    headers = {"Vary": "Accept", BEFORE: str(len(queue))}

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    with anyio.CancelScope() as scope:
        watcher = asyncio.ensure_future(watch())
        try:
            return await queue.run(work, timeout=request.app.state.settings.timeout), headers
        finally:
            watcher.cancel()
    queue.counts["disconnected"] += 1
    raise ClientDisconnect


async def answer(
    request: Request,
    schema: type[RequestT],
    work: Callable[[RequestT, ApiRules, str], bytes],
    format: str = "json",
    offers: tuple[str, ...] = ("json",),
) -> Response:
    """Read the body as `schema`, run `work` in the queue, and send its bytes.

    The arguments of `work` are the request, the settings and the format; it is stopped as by `progress.stopped_by`.
    """
    settings: ApiRules = request.app.state.settings
    kind = choose_format(request, format, offers)
    with in_flight():
        body = _Body(request, settings, schema)
        try:
            request.app.state.queue.check()
            await body.read()
        except ApiProblem as problem:
            await body.drain(problem)
            raise
        content, headers = await run_queued(request, lambda _: work(parse(body, schema), settings, kind))
        return Response(content, media_type=MEDIA_TYPES[kind], headers=headers)


BODIES: dict[str, type[BaseModel]] = {}
"""The requests that routes take, by name."""
_GREY = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAADklEQVR42mNogAIGyhgAgIQgARDoahcAAAAASUVORK5CYII="
_EXAMPLES: Json = {"image": _GREY, "other": _GREY, "classes": [0]}


def describe_route(
    schema: type[BaseModel], result: type[BaseModel], offers: tuple[str, ...] = ("json",)
) -> dict[str, Any]:
    """Return the OpenAPI arguments of a route with `answer`."""
    BODIES[schema.__name__] = schema
    binary = {MEDIA_TYPES[offer]: {"schema": {"type": "string", "format": "binary"}} for offer in offers[1:]}
    reference = "#/components/schemas/"
    fields = schema.model_fields
    example = {name: value for name, value in _EXAMPLES.items() if name in fields and fields[name].is_required()}
    content = {
        # The page offers the first, which has a file picker.
        FORM: {"schema": {"$ref": f"{reference}{schema.__name__.replace('Request', 'Form')}"}},
        MEDIA_TYPES["json"]: {"schema": {"$ref": f"{reference}{schema.__name__}"}, "example": example},
    }
    return {
        "responses": {200: {"model": result, "content": binary}},
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
    }


def body_schemas(max_bytes: int) -> Json:
    """Return the schemas of all requests, as JSON and as a form."""
    schemas: Json = {}
    for name, model in BODIES.items():
        schema = schemas[name] = model.model_json_schema()
        form = {"type": "string", "format": "binary", "description": "The picture file, or its base64 as text."}
        pictures = {name: form for name in PICTURES if name in schema["properties"]}
        for picture in pictures:
            schema["properties"][picture]["maxLength"] = max_bytes * 4 // 3 + 256
        title = name.replace("Request", "Form")
        schemas[title] = schema | {"title": title, "properties": schema["properties"] | pictures}
    return schemas


def choose_format(request: Request, format: str, offers: tuple[str, ...]) -> str:
    """Return the requested format: by address, by `Accept`, else JSON."""
    if "format" in request.query_params:
        return format
    names = (part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(","))
    kinds = {MEDIA_TYPES[offer]: offer for offer in offers}
    return next((kinds[name] for name in names if name in kinds), "json")


class _Body:
    """A request's body: the bytes of JSON, or the fields of a form."""

    def __init__(self, request: Request, settings: ApiRules, schema: type[BaseModel]) -> None:
        self._request = request
        self._seconds = max(MAX_BODY_SECONDS, settings.timeout)
        # A picture in base64 is a third longer.
        self._one = settings.max_bytes * 4 // 3 + 1024
        self._most = (2 if "other" in schema.model_fields else 1) * self._one + FIELD_BYTES
        detail = f"The body is longer than a picture may be here, {settings.max_size}: send a smaller one."
        self._too_large = ApiProblem(413, "size", detail, {"Connection": "close"})
        self._size, self._complete = 0, False
        self.raw: bytes | None = None
        self.fields: dict[str, list[str | bytes]] = {}
        self.names: dict[str, str] = {}
        """File names by field."""

    async def read(self) -> None:
        """Receive the body; raise ApiProblem for an invalid, long or slow one."""
        headers = self._request.headers
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (MEDIA_TYPES["json"], FORM):
            words = f"Send application/json or {FORM}, not {kind[:80] or 'a body without a type'}."
            raise ApiProblem(415, "body", words)
        if (length := headers.get("content-length", "")).isdigit() and int(length) > self._most:
            raise self._too_large
        try:
            with anyio.fail_after(self._seconds):
                async with aclosing(self._stream()) as stream:
                    if kind == FORM:
                        await self._read_form(stream)
                    else:
                        self.raw = b"".join([part async for part in stream])
        except TimeoutError:
            detail = "The request took too long: send it again."
            raise ApiProblem(408, "slow", detail, {"Connection": "close"}) from None

    async def _stream(self) -> AsyncGenerator[bytes, None]:
        async for part in self._request.stream():
            self._size += len(part)
            if self._size > self._most:
                raise self._too_large
            yield part
        self._complete = True

    async def _read_form(self, stream: AsyncGenerator[bytes, None]) -> None:
        parser = _FormParser(self._request.headers, stream, max_files=4, max_fields=500, max_part_size=self._one)
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise ApiProblem(400, "body", f"The body cannot be read: {error.message.rstrip('.')}.") from None
        try:
            if not parser.complete:
                raise ApiProblem(400, "body", "The form was cut off: its closing boundary is missing; send it again.")
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    self.fields.setdefault(name, []).append(await value.read())
                    self.names.setdefault(name, value.filename or "")
                else:
                    self.fields.setdefault(name, []).append(value)
        finally:
            await form.close()

    async def drain(self, problem: ApiProblem) -> None:
        """Discard the rest of the body, for a limited time."""
        waits = self._request.headers.get("expect", "").lower() == "100-continue" and not self._size
        if self._complete or waits or problem.status == 408:
            return
        with anyio.move_on_after(DRAIN_SECONDS):
            while self._size < MAX_DRAINED:
                message = await self._request.receive()
                self._size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


class _FormParser(MultiPartParser):
    """A form parser that detects truncation: Starlette's takes a truncated form for a shorter one."""

    complete = False

    def on_end(self) -> None:
        self.complete = True


def parse(body: _Body, schema: type[RequestT]) -> RequestT:
    """Parse the request; raise ApiProblem, 400 or 422."""
    try:
        if body.raw is not None:
            return schema.model_validate_json(body.raw, strict=True)
        return schema.model_validate(_form_values(body, schema))
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
    if errors[0]["type"] == "json_invalid":
        raise ApiProblem(400, "body", f"This is not JSON: {errors[0]['msg'].partition(': ')[2]}.")
    raise from_validation(errors, schema.model_fields)


def _form_values(body: _Body, schema: type[BaseModel]) -> Json:
    """Return a form's values; empty fields count as absent."""
    values: Json = {}
    for name, items in body.fields.items():
        # `class` is a keyword, and its field `class_`.
        about = schema.model_fields.get(name) or schema.model_fields.get(f"{name}_")
        if about is None:
            values[name] = None  # reported as unknown
        elif items == [""] and name not in PICTURES:
            continue
        elif any(isinstance(item, bytes) for item in items) and name not in PICTURES:
            raise ApiProblem(422, "fields", f"The field {name!r} takes text, not a file.")
        elif get_origin(about.annotation) is tuple:
            values[name] = _list_values([str(item) for item in items])
        elif len(items) > 1:
            raise ApiProblem(422, "fields", f"The field {name!r} is given {len(items)} times: give it once.")
        else:
            values[name] = _number(items[0]) if Index in get_args(about.annotation) else items[0]
    for picture, name in PICTURES.items():
        if body.names.get(picture) and name in schema.model_fields:
            values.setdefault(name, body.names[picture][-200:])
    return values


def _list_values(texts: list[str]) -> list[Any]:
    """Return the values of a repeated field or a JSON list."""
    if len(texts) > 1 or not texts[0].startswith("["):
        return [_number(text) for text in texts]
    with suppress(ValueError, RecursionError):
        if isinstance(values := json.loads(texts[0]), list):
            return values
    raise ApiProblem(422, "fields", "A list is not complete: send it as JSON, or repeat the field.")


def _number(value: str | bytes) -> int | str | bytes:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 7 else value
