"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

import logging
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from sightglass.common.errors import (
    Cancelled,
    ImageProblem,
    LayerProblem,
    Problem,
    SettingProblem,
    TooLarge,
    WeightsProblem,
    from_machine,
    nearest,
)
from sightglass.common.removed import FIELDS, find_route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.requests import Request

LOGGER = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
BASE = "/api/problems"
INTERNAL = "An internal error occurred, not caused by the request: try another model or method."
CLIENT_CLOSED = 499
"""Status counted when the client disconnected before an answer; never sent."""
MAX_FIELDS = 5
"""Wrong fields that are listed."""


TITLES = {
    "image": "The picture cannot be used",
    "size": "Too large",
    "body": "The body cannot be read",
    "fields": "A field is wrong",
    "model": "No such model",
    "weights": "The weights are not available",
    "option": "Option not supported",
    "map": "There is no map",
    "path": "No such path",
    "method": "Method not allowed",
    "key": "Not signed in",
    "origin": "Origin or host not allowed",
    "slow": "The request was too slow",
    "busy": "Too many requests",
    "unready": "Not ready",
    "timeout": "The answer took too long",
    "internal": "Internal error",
}
"""What every problem of a kind has in common; docs/api.md says when each is answered."""


class ProblemDocument(BaseModel):
    """A problem as defined by RFC 9457."""

    model_config = ConfigDict(
        extra="forbid",
        title="Problem",
        json_schema_extra={
            "example": {
                "type": f"{BASE}/size",
                "title": "Too large",
                "status": 413,
                "code": "size",
                "detail": "The body is longer than a picture may be here, 20 MiB: send a smaller one.",
                "instance": "/api/v1/explain",
            }
        },
    )

    type: str = Field(description="Its kind, as a path.")
    title: str
    status: int
    code: str = Field(description="Its kind, the last part of `type`.")
    detail: str = Field(description="One sentence: what was wrong and what to do.")
    instance: str | None = Field(default=None, description="The path of the request.")


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": about, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, about in (("4XX", "The request cannot be answered."), ("5XX", "The server cannot answer now."))
}
"""What every route can answer beside its result, for OpenAPI."""


class ApiProblem(Problem):
    """An error answered with a given status, kind of `TITLES` and detail, one sentence."""

    def __init__(self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.kind, self.headers = status, kind, dict(headers or {})


def token_needed(*, wrong: bool) -> ApiProblem:
    """Return the answer to a request without a valid token."""
    detail = f"{'The token is wrong' if wrong else 'A token is required'}: "
    detail += "send it as `Authorization: Bearer ...` or `X-API-Key`."
    return ApiProblem(401, "key", detail, {"WWW-Authenticate": "Bearer"})


def response(problem: ApiProblem, instance: str | None = None) -> Response:
    """Return the response for a problem; `instance` is the request's path."""
    document = ProblemDocument(
        type=f"{BASE}/{problem.kind}",
        title=TITLES[problem.kind],
        status=problem.status,
        code=problem.kind,
        detail=str(problem),
        instance=instance,
    )
    headers = {**problem.headers, "Cache-Control": "no-store"}
    return Response(document.model_dump_json(exclude_none=True), problem.status, headers, MEDIA_TYPE)


async def respond(request: Request, error: BaseException) -> Response:
    """Answer an exception of a route."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=CLIENT_CLOSED)
    path = request.url.path
    # As it was asked for: with its version.
    instance = request.scope.get("raw_path", path.encode()).decode("latin-1")
    if isinstance(error, HTTPException) and error.status_code == 404 and (sentence := find_route(path)):
        return response(ApiProblem(410, "path", sentence), instance)
    return response(from_exception(error), instance)


_STATUSES: tuple[tuple[type[Problem], int, str], ...] = (
    (TooLarge, 413, "size"),
    (ImageProblem, 422, "image"),
    (WeightsProblem, 503, "weights"),
    (SettingProblem, 500, "internal"),
    (Problem, 400, "option"),
)
"""Status and kind for errors of the library; the first that fits counts."""


def from_exception(error: BaseException) -> ApiProblem:
    """Return the problem for an exception; messages of unexpected ones stay private."""
    if isinstance(error, ApiProblem):
        return error
    if isinstance(error, RequestValidationError):
        # FastAPI puts where a parameter was sent before its name.
        return from_validation([{**details, "loc": details["loc"][1:]} for details in error.errors()], ())
    if isinstance(error, Cancelled):
        return ApiProblem(504, "timeout", str(error) or "The work was stopped before it finished: try again.")
    if isinstance(error, LayerProblem):
        # What else lists them is a command.
        return ApiProblem(400, "option", str(LayerProblem(error.nearest, "GET /api/layers/{model}")))
    if isinstance(error, SettingProblem):
        LOGGER.error("%s", error)
    for kind_of_error, status, kind in _STATUSES:
        if isinstance(error, kind_of_error):
            return ApiProblem(status, kind, str(error))
    if (lacking := from_machine(error)) is not None:
        LOGGER.error("%s", lacking, exc_info=error)
        if isinstance(error, OSError):
            return ApiProblem(
                500, "internal", "The server cannot write to its disk: the operator must make room, or allow it."
            )
        return ApiProblem(413, "size", str(lacking))
    if isinstance(error, HTTPException):
        return _from_http(error)
    LOGGER.error("a request failed", exc_info=error)
    return ApiProblem(500, "internal", INTERNAL)


def _from_http(error: HTTPException) -> ApiProblem:
    if error.status_code == 404:
        return ApiProblem(404, "path", "There is nothing at this path: GET /api/docs lists all requests.")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET, POST")
        return ApiProblem(405, "method", f"Use {allowed} here.", {"Allow": allowed})
    return ApiProblem(400, "body", f"The body cannot be read: {str(error.detail).rstrip('.')}.")


def from_validation(errors: Iterable[Mapping[str, Any]], known: Iterable[str]) -> ApiProblem:
    """Return pydantic's errors as one sentence, with suggestions for unknown fields."""
    names, sentences, strange = list(known), list[str](), list[str]()
    by_field: dict[str, list[Mapping[str, Any]]] = {}
    for error in errors:
        if error["type"] != "extra_forbidden":
            by_field.setdefault(_describe_place(error["loc"]), []).append(error)
            continue
        field = str(error["loc"][-1])[:60]
        if field in FIELDS:
            sentences.append(FIELDS[field].rstrip("."))
        elif near := nearest(field, names):
            strange.append(f"there is no field {field!r}: did you mean {near[0]}?")
        else:
            strange.append(f"there is no field {field!r}" + (f": there are {', '.join(names)}" if names else ""))
            names = []  # the list is long
    sentences += [f"{place} {_describe_errors(group)}" for place, group in by_field.items()] + strange
    more = f"; and {len(sentences) - MAX_FIELDS} more" if len(sentences) > MAX_FIELDS else ""
    text = "; ".join(sentences[:MAX_FIELDS]) + more
    return ApiProblem(422, "fields", text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else "."))


def _describe_place(loc: Sequence[str | int]) -> str:
    """Return the field of an error location, with its list indices."""
    places = (str(part) for part in takewhile(lambda part: isinstance(part, int), loc[1:]))
    return f"the field {'.'.join((str(loc[0]), *places))!r}" if loc else "the body"


def _describe_errors(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return the errors of a union's branches as one error."""
    fit = [error for error in errors if not error["type"].endswith(("_type", "_parsing", "_from_float"))]
    first, *others = dict.fromkeys(_describe_error(error) for error in fit or errors)
    return first + "".join(f" or {words.removeprefix('should be ')}" for words in others)


_WORDS = {
    "missing": "is missing: send it",
    "tuple_type": "should be a list",
    "string_type": "should be text",
    "string_too_short": "is empty: leave it out, or give a word",
    "finite_number": "is not finite",
    "int": "should be a whole number",
    "float": "should be a number",
    "bool": "should be true or false",
}


def _describe_error(error: Mapping[str, Any]) -> str:
    # Here: the dashboard's server needs this module before its first page.
    from sightglass.explain.phrases import plural

    kind, words, about = error["type"], str(error["msg"]), error.get("ctx", {})
    if any(str(part).startswith("tuple[") for part in error["loc"]):
        return "should be two whole numbers, [anchor, class]"
    if kind in ("value_error", "assertion_error"):
        return words.partition(", ")[2]
    if kind in ("too_long", "too_short"):
        bound, length = ("at most", "max_length") if kind == "too_long" else ("at least", "min_length")
        return f"should have {bound} {plural(about[length], 'item')}"
    if kind in ("greater_than_equal", "less_than_equal"):
        return f"should be at least {about['ge']:,}" if "ge" in about else f"should be at most {about['le']:,}"
    if text := _WORDS.get(kind) or _WORDS.get(kind.partition("_")[0]):
        return text
    words = words.replace("Input should", "should")
    return words[:1].lower() + words[1:]
