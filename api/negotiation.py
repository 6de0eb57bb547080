"""One request and its answer: the body read on the loop, everything else in the gate's threads."""

from __future__ import annotations

import json
import logging
import re
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from api import problems
from api.problems import Refused

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from api.schemas import Settings

JSON, PNG, NPY = "application/json", "image/png", "application/x-npy"
PICTURES = {"image": "name", "other": "other_name"}
"""Fields that are files, and where a file's own name goes."""
EMPTY = {"const": ""}
"""In a form: not given."""
# What it says of a form that cannot be read is in the answer.
logging.getLogger("python_multipart").setLevel(logging.ERROR)
T = TypeVar("T")
Asked = TypeVar("Asked", bound=BaseModel)


@dataclass
class Sent:
    """A body as it came: JSON's bytes, or a form's fields."""

    raw: bytes | None = None
    fields: dict[str, list[str | bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Of files."""


async def through(request: Request, work: Callable[[threading.Event], T]) -> T:
    """What `work` makes, in a thread of the gate."""
    settings: Settings = request.app.state.settings
    made: T = await request.app.state.gate.run(work, timeout=settings.timeout)
    return made


async def answered(
    request: Request,
    asked: type[Asked],
    said: type[BaseModel],
    work: Callable[[Asked, Settings, threading.Event, str], Any],
    offers: Sequence[str] = (JSON,),
) -> Response:
    """Read what was asked, let `work` make it in a thread (of the kind that is its last argument), and send that."""
    settings: Settings = request.app.state.settings
    kind = chosen(request.headers.get("accept"), offers)
    sent = await received(request, settings)

    def whole(cancel: threading.Event) -> bytes:
        made = work(parsed(sent, asked), settings, cancel, kind)
        return made if isinstance(made, bytes) else said.model_validate(made).model_dump_json().encode()

    return Response(await through(request, whole), media_type=kind, headers={"Vary": "Accept"})


def chosen(accept: str | None, offers: Sequence[str]) -> str:
    """The kind of answer that is liked best, the first of `offers` where that leaves a choice. Raises Refused, 406."""
    if not accept or not accept.strip():
        return offers[0]
    ranges = [_range(part) for part in accept.split(",")[:50] if part.strip()]

    def liked(offer: str) -> float:
        kind = offer.partition("/")[0]
        for name in (offer, f"{kind}/*", "*/*"):
            found = [quality for given, quality in ranges if given == name]
            if found:
                return max(found)
        return 0.0

    best = max(offers, key=liked)
    if liked(best) <= 0:
        raise Refused(406, "accept", f"The answer can be {', '.join(offers)}: name one of them in `Accept`.")
    return best


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    found = next((text[2:].strip() for text in parameters if text.startswith("q=")), "1")
    return name, float(found) if re.fullmatch(r"[01](\.\d{0,3})?", found) else 0.0


async def received(request: Request, settings: Settings) -> Sent:
    """The body. Raises Refused for one that is neither JSON nor a form, and for fields in the address."""
    if request.query_params:
        raise Refused(422, "fields", "Fields belong into the body, not into the address: send them with the picture.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON:
        return Sent(await request.body())
    if kind != "multipart/form-data":
        raise Refused(415, "body", f"Send {JSON} or multipart/form-data, not {kind[:80] or 'a body of no kind'}.")
    sent = Sent()
    most = settings.max_bytes * 4 // 3 + 1024
    try:
        async with aclosing(request.stream()) as stream:
            parser = _Form(request.headers, stream, max_files=4, max_fields=500, max_part_size=most)
            form = await parser.parse()
    except MultiPartException as error:
        raise Refused(400, "body", f"The body cannot be read: {error.message.rstrip('.')}.") from None
    try:
        if not parser.whole:
            raise Refused(400, "body", "The form was cut off: its closing boundary is missing; send it again.")
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                sent.fields.setdefault(name, []).append(await value.read())
                sent.names.setdefault(name, value.filename or "")
            else:
                sent.fields.setdefault(name, []).append(value)
    finally:
        await form.close()
    return sent


class _Form(MultiPartParser):
    """A form that knows whether it came to its end: Starlette takes one that was cut off for a shorter one."""

    whole = False

    def on_end(self) -> None:
        self.whole = True


def parsed(sent: Sent, asked: type[Asked]) -> Asked:
    """What was asked for. Raises Refused: 400 for JSON that is none, 422 for a field that is wrong."""
    known = list(asked.model_fields)
    try:
        if sent.raw is not None:
            return asked.model_validate_json(sent.raw, strict=True)
        return asked.model_validate(_of_form(sent, asked))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise Refused(400, "body", f"This is not JSON: {first['msg'].partition(': ')[2]}.") from None
        raise problems.of_validation(error, known) from None


def _of_form(sent: Sent, asked: type[BaseModel]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, values in sent.fields.items():
        about = asked.model_fields.get(name)
        if about is None:
            given[name] = None  # told of by its name
        elif values == [""] and name not in PICTURES:
            continue  # as browsers send what was left empty
        elif any(isinstance(value, bytes) for value in values) and name not in PICTURES:
            raise Refused(422, "fields", f"{name} takes text, not a file.")
        elif get_origin(about.annotation) is tuple:
            given[name] = _several([str(value) for value in values])
        elif len(values) > 1:
            raise Refused(422, "fields", f"{name} is given {len(values)} times: give it once.")
        else:
            given[name] = values[0]
    for picture, name in PICTURES.items():
        if sent.names.get(picture) and name in asked.model_fields:
            given.setdefault(name, sent.names[picture][-200:])
    return given


def _several(values: list[str]) -> list[Any]:
    """A field that is there several times, or once with a list in JSON. What is a number is one."""
    if len(values) == 1 and values[0].startswith("["):
        try:
            found = json.loads(values[0])
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list):
            return found
        raise Refused(422, "fields", "A list is not whole: send it as JSON, or the field several times.")
    return [int(text) if text.isascii() and text.isdigit() and len(text) < 7 else text for text in values]


def form_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a form, from that of the same fields in JSON: empty for null, and pictures are files."""
    properties = {}
    for name, about in schema["properties"].items():
        kept = {key: value for key, value in about.items() if key not in ("anyOf", "default")}
        if name in PICTURES:
            kept = {"type": "string", "format": "binary", "description": "The picture's file, or its base64 as text."}
        elif "anyOf" in about:
            branches = [one for one in about["anyOf"] if one.get("type") != "null"]
            kept |= branches[0] if len(branches) == 1 else {"anyOf": branches}
        if "items" in kept and "anyOf" in kept["items"]:
            branches = [one for one in kept["items"]["anyOf"] if one.get("type") != "array"]
            kept["items"] = {"anyOf": branches}
        if about.get("default") not in (None, []):
            kept["default"] = about["default"]
        properties[name] = kept if name in schema["required"] else {"anyOf": [kept, EMPTY]}
    return schema | {"title": schema["title"].replace("Request", "Form"), "properties": properties}
