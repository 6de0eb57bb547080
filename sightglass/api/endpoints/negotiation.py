"""Read requests, queue work, negotiate media types."""

from __future__ import annotations

import json
import logging
import re
import secrets
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from sightglass.api import problems
from sightglass.api.problems import ApiProblem
from sightglass.api.schemas import Index
from sightglass.api.work_queue import BEFORE

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from sightglass.api.schemas import ApiRules
    from sightglass.api.work_queue import WorkQueue
    from sightglass.common.files import Json

JSON, PNG, NPY = "application/json", "image/png", "application/x-npy"
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
PICTURES = {"image": "name", "other": "other_name"}
"""Fields that are files, and the field for the file's name."""
ENCODED, LARGE = ("png", "npy", "overlay"), 2**20
"""Fields of an answer that are base64, and from how many letters on they are not escaped as JSON."""
EMPTY = {"const": ""}
"""Schema of a form field that was left empty."""
# The answer says why a form cannot be read.
logging.getLogger("python_multipart").setLevel(logging.ERROR)
T = TypeVar("T")
RequestT = TypeVar("RequestT", bound=BaseModel)


@dataclass
class RequestBody:
    """A body as received: the bytes of JSON, or the fields of a form."""

    raw: bytes | None = None
    fields: dict[str, list[str | bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """File names by field."""


async def run_queued(request: Request, work: Callable[[threading.Event], T]) -> T:
    """Run `work` in the application's queue and return its result; `request.state.before` is its place there."""
    settings: ApiRules = request.app.state.settings
    queue: WorkQueue = request.app.state.queue
    request.state.before = len(queue)
    return await queue.run(work, timeout=settings.timeout)


async def respond(
    request: Request,
    schema: type[RequestT],
    answer: type[BaseModel],
    work: Callable[[RequestT, ApiRules, threading.Event, str], Any],
    offers: Sequence[str] = (JSON,),
) -> Response:
    """Read the request as `schema`, run `work` in the queue, and send its bytes or its `answer` as JSON.

    The arguments of `work` are the request, the settings, an event that cancels it, and the media type to return.
    """
    settings: ApiRules = request.app.state.settings
    kind = negotiate(request.headers.get("accept"), offers)
    body = await read_body(request, settings)

    def run(cancel: threading.Event) -> bytes:
        made = work(parse(body, schema), settings, cancel, kind)
        return made if isinstance(made, bytes) else write_json(answer, made)

    made = await run_queued(request, run)
    headers = {"Vary": "Accept", BEFORE: str(request.state.before)}
    return Response(made, media_type=kind, headers=headers)


def write_json(answer: type[BaseModel], made: Any) -> bytes:
    """Return the JSON of an answer; its maps are base64, which is the same in JSON, and need no escaping.

    Takes them out of `made`.
    """
    mark, maps = secrets.token_hex(16), list[bytes]()

    def take(value: Any) -> None:
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(inner, dict | list):
                take(inner)
            elif name in ENCODED and isinstance(inner, str) and len(inner) > LARGE:
                maps.append(inner.encode())
                value[name] = f"{mark}{len(maps) - 1:04}"

    if isinstance(made, dict):
        take(made)
    text = answer.__pydantic_serializer__.to_json(answer.model_validate(made))
    first, *others = text.split(mark.encode())
    return b"".join([first, *(part for other in others for part in (maps[int(other[:4])], other[4:]))])


def negotiate(accept: str | None, offers: Sequence[str]) -> str:
    """Return the media type that `Accept` prefers, the first of `offers` in a tie; raise ApiProblem, 406, for none."""
    if not accept or not accept.strip():
        return offers[0]
    ranges = [_range(part) for part in accept.split(",")[:50] if part.strip()]

    def quality_of(offer: str) -> float:
        kind = offer.partition("/")[0]
        for name in (offer, f"{kind}/*", "*/*"):
            found = [quality for given, quality in ranges if given == name]
            if found:
                return max(found)
        return 0.0

    best = max(offers, key=quality_of)
    if quality_of(best) <= 0:
        raise ApiProblem(406, "accept", f"The answer can be {', '.join(offers)}: name one of them in `Accept`.")
    return best


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    found = next((text[2:].strip() for text in parameters if text.startswith("q=")), "1")
    return name, float(found) if re.fullmatch(r"[01](\.\d{0,3})?", found) else 0.0


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, settings: ApiRules) -> RequestBody:
    """Return the body; raise ApiProblem for one that is neither JSON nor a form, and for fields in the query string."""
    if request.query_params:
        raise ApiProblem(422, "fields", "Fields belong in the body, not in the address: send them with the picture.")
    kind = _kind(request)
    if kind == JSON:
        return RequestBody(await request.body())
    if kind != "multipart/form-data":
        raise ApiProblem(
            415, "body", f"Send {JSON} or multipart/form-data, not {kind[:80] or 'a body without a type'}."
        )
    body = RequestBody()
    most = settings.max_bytes * 4 // 3 + 1024
    try:
        async with aclosing(request.stream()) as stream:
            parser = _Form(request.headers, stream, max_files=4, max_fields=500, max_part_size=most)
            form = await parser.parse()
    except MultiPartException as error:
        raise ApiProblem(400, "body", f"The body cannot be read: {error.message.rstrip('.')}.") from None
    try:
        if not parser.complete:
            raise ApiProblem(400, "body", "The form was cut off: its closing boundary is missing; send it again.")
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                body.fields.setdefault(name, []).append(await value.read())
                body.names.setdefault(name, value.filename or "")
            else:
                body.fields.setdefault(name, []).append(value)
    finally:
        await form.close()
    return body


class _Form(MultiPartParser):
    """A form parser that detects truncation: Starlette's takes a truncated form for a shorter one."""

    complete = False

    def on_end(self) -> None:
        self.complete = True


def parse(body: RequestBody, schema: type[RequestT]) -> RequestT:
    """Return the request; raise ApiProblem, 400 for invalid JSON and 422 for a wrong field."""
    try:
        if body.raw is not None:
            return schema.model_validate_json(body.raw, strict=True)
        return schema.model_validate(_form_values(body, schema))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise ApiProblem(400, "body", f"This is not JSON: {first['msg'].partition(': ')[2]}.") from None
        raise problems.from_validation(error, schema.model_fields) from None


def _form_values(body: RequestBody, schema: type[BaseModel]) -> Json:
    given: Json = {}
    for name, values in body.fields.items():
        # `class` is a keyword, and its field `class_`.
        about = schema.model_fields.get(name) or schema.model_fields.get(f"{name}_")
        if about is None:
            given[name] = None  # reported as unknown
        elif values == [""] and name not in PICTURES:
            continue  # browsers send fields that were left empty
        elif any(isinstance(value, bytes) for value in values) and name not in PICTURES:
            raise ApiProblem(422, "fields", f"The field {name!r} takes text, not a file.")
        elif get_origin(about.annotation) is tuple:
            given[name] = _list_values([str(value) for value in values])
        elif len(values) > 1:
            raise ApiProblem(422, "fields", f"The field {name!r} is given {len(values)} times: give it once.")
        else:
            given[name] = _number(values[0]) if Index in get_args(about.annotation) else values[0]
    for picture, name in PICTURES.items():
        if body.names.get(picture) and name in schema.model_fields:
            given.setdefault(name, body.names[picture][-200:])
    return given


def _list_values(values: list[str]) -> list[Any]:
    """Return the values of a repeated field, or of a JSON list in a single one; digits become numbers."""
    if len(values) == 1 and values[0].startswith("["):
        try:
            found = json.loads(values[0])
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list):
            return found
        raise ApiProblem(422, "fields", "A list is not complete: send it as JSON, or repeat the field.")
    return [_number(text) for text in values]


def _number(value: str | bytes) -> int | str | bytes:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 7 else value


def form_schema(schema: Json) -> Json:
    """Return the schema of a form from that of the same fields in JSON: an empty field is null, a picture a file."""
    properties = {}
    for name, about in schema["properties"].items():
        form = {key: value for key, value in about.items() if key not in ("anyOf", "default")}
        if name in PICTURES:
            form = {"type": "string", "format": "binary", "description": "The picture file, or its base64 as text."}
        elif "anyOf" in about:
            branches = [one for one in about["anyOf"] if one.get("type") != "null"]
            form |= branches[0] if len(branches) == 1 else {"anyOf": branches}
        if "items" in form and "anyOf" in form["items"]:
            branches = [one for one in form["items"]["anyOf"] if one.get("type") != "array"]
            form["items"] = {"anyOf": branches}
        if about.get("default") not in (None, []):
            form["default"] = about["default"]
        properties[name] = form if name in schema["required"] else {"anyOf": [form, EMPTY]}
    return schema | {"title": schema["title"].replace("Request", "Form"), "properties": properties}
