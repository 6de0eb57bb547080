"""Read requests' bodies, and run their work in a bounded number of threads.

Work runs at low priority, so that the dashboard's pages come first. A request that reaches its time limit is refused,
and the work of one whose client disconnects is cancelled.
"""

import asyncio
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any, Literal, TypeVar, get_origin

import anyio
from fastapi import APIRouter, HTTPException
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive

from sightglass.api.problems import ApiProblem, from_validation
from sightglass.api.schemas import field_of
from sightglass.common.files import Json
from sightglass.common.settings import MIB, settings
from sightglass.common.work.progress import check, lower_priority, stopped_by
from sightglass.models.checkpoints import weights

MEDIA_TYPES = {"json": "application/json", "png": "image/png", "npy": "application/x-npy", "zip": "application/zip"}
FORM = "multipart/form-data"
FILE_TYPES = ("image/", "application/octet-stream")
"""How the types of parts of a form begin that are files."""
PICTURES = {"image": "name", "other": "other_name"}
"""Fields that are files, and the field for the file's name."""
FIELD_BYTES = 256 * 1024
"""Bytes allowed for everything but the pictures."""
MAX_DRAINED = 64 * 2**20
"""Bytes of a body that are read although it is too long: a client that is still sending does not read the answer."""
# The answer says why a form cannot be read.
logging.getLogger("python_multipart").setLevel(logging.ERROR)
T = TypeVar("T")
RequestT = TypeVar("RequestT", bound=BaseModel)


class Job:
    """A request's work: it waits for a place, works there, and may go on elsewhere."""

    def __init__(self) -> None:
        self.abandoned = threading.Event()
        """Set once nobody waits for the answer."""
        self.at_place = self.elsewhere = False


_JOB: ContextVar[tuple["WorkQueue", Job] | None] = ContextVar("job", default=None)
"""The job of this thread, and its queue."""


class WorkQueue:
    """Run up to `workers` jobs at the same time and queue up to `waiting` more; refuse any others.

    A job that waits for another process leaves its place: up to `waiting` of these go on beside the others.
    """

    def __init__(self, workers: int = 2, waiting: int = 16) -> None:
        self.workers, self.waiting = workers, waiting
        # Not anyio's threads: they have normal priority, and the next job would begin beside an abandoned one.
        self._pool = ThreadPoolExecutor(workers + 2 * waiting, "api", initializer=lower_priority)
        self._jobs = dict[Future[Any], Job]()
        self._line = deque[Job]()
        """Those without a place yet, in their order."""
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """Return the number of jobs at a place or waiting for one."""
        return sum(not job.elsewhere for job in tuple(self._jobs.values()))

    @property
    def running(self) -> int:
        """Number of busy workers."""
        return sum(job.at_place for job in tuple(self._jobs.values()))

    @property
    def stuck(self) -> int:
        """Number of workers whose request is over, and which have not come back from it."""
        return sum(job.at_place and job.abandoned.is_set() for job in tuple(self._jobs.values()))

    @property
    def full(self) -> bool:
        """Whether another job is refused."""
        return len(self) >= self.workers + self.waiting

    async def run(self, work: Callable[[], T], *, timeout: float) -> T:
        """Run `work` in a thread, in which `progress.check` raises Cancelled once nobody awaits it.

        `timeout`: seconds from now. An abandoned job keeps its place until its thread is done. Raises ApiProblem: 429
        if the queue is full, and 504 at the timeout.
        """
        if self.full:
            raise self._busy()
        job, context = Job(), contextvars.copy_context()
        context.run(_JOB.set, (self, job))

        def call() -> T:
            with stopped_by(job.abandoned):
                self._take_place(job)
                return work()

        self._line.append(job)
        future = self._pool.submit(context.run, call)
        self._jobs[future] = job
        future.add_done_callback(self._end)
        try:
            with anyio.move_on_after(timeout):
                return await asyncio.wrap_future(future)
        finally:
            job.abandoned.set()
            future.cancel()
        detail = "choose a faster method, fewer masks or classes, or a smaller model."
        raise ApiProblem(504, "timeout", f"This was stopped after {timeout:g} s: {detail}")

    def leave_place(self, job: Job) -> None:
        """Let the next job begin beside this one.

        Raises ApiProblem, 429, where too many have left theirs.
        """
        with self._changed:
            if sum(other.elsewhere for other in self._jobs.values()) >= self.waiting:
                raise self._busy()
            job.at_place, job.elsewhere = False, True
            self._changed.notify_all()

    def _take_place(self, job: Job) -> None:
        with self._changed:
            while self._line[0] is not job or self.running >= self.workers:
                check()
                self._changed.wait(0.1)
            check()
            self._line.popleft()
            job.at_place = True
            self._changed.notify_all()

    def _end(self, future: Future[Any]) -> None:
        with self._changed:
            job = self._jobs.pop(future)
            if job in self._line:
                self._line.remove(job)
            self._changed.notify_all()

    def _busy(self) -> ApiProblem:
        # Jobs often take about a second.
        seconds = max(1, len(self) // self.workers)
        headers = {"Retry-After": str(seconds), "Connection": "close"}
        return ApiProblem(429, "busy", f"Too many requests are waiting: try again in {seconds} s.", headers)


def leave_place() -> None:
    """Let others work while this job waits for a process that has limits of its own; outside of a job do nothing."""
    current = _JOB.get()
    if current is not None:
        queue, job = current
        queue.leave_place(job)


async def answer(
    request: Request, schema: type[RequestT], work: Callable[[RequestT, str], BaseModel | bytes], format: str = "json"
) -> Response:
    """Read the body as `schema`, run `work` with it and the format in the queue, and send what it returns.

    The work downloads nothing, and `progress.check` stops it once nobody waits. Raises ClientDisconnect where the
    client left, and ApiProblem, 503, where the server stops first.
    """
    queue: WorkQueue = request.app.state.queue
    values = await read(request, schema)

    def call() -> bytes:
        with weights.no_downloads():
            result = work(validate(values, schema), format)
        return result if isinstance(result, bytes) else result.model_dump_json().encode()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    try:
        with anyio.CancelScope() as scope:
            watcher = asyncio.ensure_future(watch())
            try:
                return Response(await queue.run(call, timeout=settings().api_timeout), media_type=MEDIA_TYPES[format])
            finally:
                watcher.cancel()
    except asyncio.CancelledError:
        # By a server that stops; the scope takes its own.
        detail = "This server is stopping: try again in a moment."
        raise ApiProblem(503, "busy", detail, {"Retry-After": "5", "Connection": "close"}) from None
    raise ClientDisconnect


_GREY = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAADklEQVR42mNogAIGyhgAgIQgARDoahcAAAAASUVORK5CYII="
"""A picture of eight by eight pixels, as an example in the description."""


def add_route(
    router: APIRouter,
    path: str,
    schema: type[RequestT],
    result: type[BaseModel],
    work: Callable[[RequestT, str], BaseModel | bytes],
    formats: tuple[str, ...] = ("json",),
) -> None:
    """Add a route that answers a form or JSON of the schema by the work, in one of the formats."""

    async def ask(request: Request, format: str = "json") -> Response:
        return await answer(request, schema, work, format)

    # FastAPI reads them: `from __future__ import annotations` would leave the name `formats` there.
    ask.__annotations__ |= {"request": Request, "format": Literal[formats], "return": Response}
    body, files = schema.model_json_schema(), [field for field in PICTURES if field in schema.model_fields]
    file = {"type": "string", "format": "binary", "description": "The picture file, or its base64 as text."}
    form = body | {"properties": body["properties"] | dict.fromkeys(files, file)}
    binary = {MEDIA_TYPES[format]: {"schema": {"type": "string", "format": "binary"}} for format in formats[1:]}
    # The page offers the first, which has a file picker.
    content = {FORM: {"schema": form}, MEDIA_TYPES["json"]: {"schema": body, "example": dict.fromkeys(files, _GREY)}}
    router.add_api_route(
        path,
        ask,
        methods=["POST"],
        name=path.removeprefix("/"),
        description=schema.__doc__,
        responses={200: {"model": result, "content": binary}},
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )


def add_head_routes(router: APIRouter) -> None:
    """Let the routes of a router that answer GET answer HEAD."""
    for route in [*router.routes]:
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            router.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)


class _FormParser(MultiPartParser):
    """A parser of forms for which a part with the type of a picture is a file, with a filename or without."""

    def on_headers_finished(self) -> None:
        part = self._current_part
        _, stated = parse_options_header(part.content_disposition)
        kind = Headers(raw=part.item_headers).get("content-type", "").strip().lower()
        if b"filename" not in stated and kind.startswith(FILE_TYPES):
            part.content_disposition = (part.content_disposition or b"") + b'; filename=""'
        super().on_headers_finished()


async def read(request: Request, schema: type[BaseModel]) -> bytes | Json:
    """Return the body's JSON, or a form's values; raise ApiProblem or HTTPException."""
    refuse_encoded(request.headers)
    most = body_limit(sum(name in schema.model_fields for name in PICTURES))
    limited = Request(request.scope, limit_body(request.receive, most))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == MEDIA_TYPES["json"]:
        return await limited.body()
    if kind != FORM:
        raise ApiProblem(415, "body", f"Send application/json or {FORM}, not {kind[:80] or 'a body without a type'}.")
    async with aclosing(limited.stream()) as stream:
        parser = _FormParser(limited.headers, stream, max_files=4, max_fields=500, max_part_size=most)
        try:
            form = await parser.parse()
        except MultiPartException as problem:
            raise HTTPException(400, problem.message) from problem
    try:
        return await _form_values(form, schema)
    finally:
        await form.close()


def refuse_encoded(headers: Headers) -> None:
    """Raise ApiProblem, 415, for a compressed body."""
    # Unpacked, it may be far longer.
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        detail = f"The body is compressed ({encoding[:40]}): send it as it is, without Content-Encoding."
        raise ApiProblem(415, "body", detail)


def body_limit(pictures: int) -> int:
    """Return how many bytes a body with so many pictures may have."""
    # In base64 a picture is a third longer.
    return pictures * (int(settings().api_mb * MIB) * 4 // 3 + 1024) + FIELD_BYTES


def limit_body(receive: Receive, most: int) -> Receive:
    """Return `receive` that raises ApiProblem, 413, for a body of more bytes."""
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        while most < size < MAX_DRAINED and message.get("more_body"):
            message = await receive()
            size += len(message.get("body", b""))
        if size > most:
            largest = f"a picture may be here, {settings().api_mb:.3g}" if most > FIELD_BYTES else f"{most / MIB:.3g}"
            detail = f"The body is longer than {largest} MiB: send a smaller one."
            raise ApiProblem(413, "size", detail, {"Connection": "close"})
        return message

    return limited


def validate(values: bytes | Json, schema: type[RequestT]) -> RequestT:
    """Return the request; raise ApiProblem, 400 or 422."""
    try:
        if isinstance(values, bytes):
            return schema.model_validate_json(values, strict=True)
        return schema.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
    if errors[0]["type"] == "json_invalid":
        raise ApiProblem(400, "body", f"This is not JSON: {errors[0]['msg'].partition(': ')[2]}.")
    raise from_validation(errors, schema.model_fields)


async def _form_values(form: FormData, schema: type[BaseModel]) -> Json:
    """Return a form's values; empty fields count as absent."""
    values: Json = {}
    for name in form:
        about = schema.model_fields.get(field_of(schema, name))
        items: list[Any] = [await item.read() if isinstance(item, UploadFile) else item for item in form.getlist(name)]
        if about is not None and get_origin(about.annotation) is tuple:
            values[name] = [] if items == [""] else [_read_number(item) for item in items]
        elif about is not None and len(items) > 1:
            raise ApiProblem(422, "fields", f"The field {name!r} was sent {len(items)} times: send it once.")
        elif items != [""]:
            values[name] = items[0]
    sent = {field_of(schema, name) for name in values}
    for picture, name in PICTURES.items():
        file = form.get(picture)
        if isinstance(file, UploadFile) and file.filename and name in schema.model_fields and name not in sent:
            values[name] = file.filename[-200:]
    return values


def _read_number(value: Any) -> Any:
    """Return a form's digits as a number, as of a box, and anything else as it is."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 7 else value
