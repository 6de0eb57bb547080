"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from sightglass.api.work_queue import Busy, TooSlow
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

    from sightglass.common.files import Json

LOGGER = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
BASE = "/api/problems"
INTERNAL = "An internal error occurred, not caused by the request: try another model or method."
MAX_FIELDS = 5
"""Wrong fields that are listed."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What every problem of a kind has in common."""

    title: str
    statuses: tuple[int, ...]
    about: str


KINDS: dict[str, Kind] = {
    "image": Kind(
        "The picture cannot be used", (415, 422), "It is damaged, truncated, empty, or of an unsupported format."
    ),
    "size": Kind(
        "Too large",
        (413,),
        "More bytes or pixels than allowed in a request or answer: send a smaller picture, or ask for fewer maps.",
    ),
    "body": Kind("The body cannot be read", (400, 415), "Send complete JSON or a complete form (multipart/form-data)."),
    "fields": Kind("A field is wrong", (422,), "It is unknown, missing, of the wrong type, or out of range."),
    "model": Kind("No such model", (404,), "GET /api/models lists the available models."),
    "weights": Kind("The weights are not available", (404, 503), "No request downloads weights: ask the operator."),
    "option": Kind("Option not supported", (400,), "The model, or this picture, does not support an option."),
    "map": Kind("There is no map", (422,), "Nothing was found to explain: ask for JSON, or lower confidence."),
    "accept": Kind("Not acceptable", (406,), "No media type in `Accept` is available."),
    "path": Kind("No such path", (404, 410), "GET /api/docs lists all requests."),
    "method": Kind("Method not allowed", (405,), "`Allow` names the methods."),
    "key": Kind("Not signed in", (401, 403), "Send the token as `Authorization: Bearer` or `X-API-Key`, or sign in."),
    "origin": Kind(
        "Origin or host not allowed",
        (403,),
        "The request came from another site's page, or used an unknown name of this machine: SIGHTGLASS_API_ORIGINS "
        "and SIGHTGLASS_API_HOSTS allow them.",
    ),
    "slow": Kind("The request was too slow", (408,), "Its body stalled or took too long."),
    "busy": Kind("Too many requests", (429, 503), "Try again after `Retry-After` seconds."),
    "unready": Kind(
        "Not ready",
        (503,),
        "It is starting or stopping, or its model or its history cannot be used: the detail says which.",
    ),
    "timeout": Kind("The answer took too long", (504,), "Choose a faster method, fewer masks, or a smaller model."),
    "internal": Kind("Internal error", (500,), "A bug or a broken setting: the server's log has the details."),
}


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
                "detail": "The body is longer than a picture may be here, 20 MiB: send a smaller one.",
                "instance": "/api/explain",
            }
        },
    )

    type: str = Field(description="Its kind, as a path on this server that describes it.")
    title: str
    status: int
    detail: str = Field(description="One sentence: what was wrong and what to do.")
    instance: str | None = Field(default=None, description="The path of the request.")


class ApiProblem(Problem):
    """An error answered with a given status, kind of `KINDS` and detail, one sentence."""

    def __init__(self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.kind, self.headers = status, kind, dict(headers or {})


def token_needed(*, wrong: bool) -> ApiProblem:
    """Return the answer to a request without the right token; `wrong`: it has another one."""
    detail = f"{'The token is wrong' if wrong else 'A token is required'}: "
    detail += "send it as `Authorization: Bearer ...` or `X-API-Key`."
    return ApiProblem(401, "key", detail, {"WWW-Authenticate": "Bearer"})


def response(problem: ApiProblem, instance: str | None = None) -> Response:
    """Return the response for a problem; `instance` is the path of the request."""
    kind, title = f"{BASE}/{problem.kind}", KINDS[problem.kind].title
    document = ProblemDocument(type=kind, title=title, status=problem.status, detail=str(problem), instance=instance)
    headers = {**problem.headers, "Cache-Control": "no-store"}
    return Response(document.model_dump_json(exclude_none=True), problem.status, headers, MEDIA_TYPE)


_STATUSES: tuple[tuple[type[Problem], int, str], ...] = (
    (TooLarge, 413, "size"),
    (ImageProblem, 422, "image"),
    (WeightsProblem, 503, "weights"),
    (SettingProblem, 500, "internal"),
    (Problem, 400, "option"),
)
"""Status and kind for errors of the library; the first that fits counts."""


def from_exception(error: BaseException) -> ApiProblem:
    """Return the problem for an exception; an unexpected one is logged, and its message is not sent."""
    if isinstance(error, ApiProblem):
        return error
    if isinstance(error, Busy):
        return ApiProblem(429, "busy", str(error), error.headers)
    if isinstance(error, TooSlow | Cancelled):
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
        return _of_http(error)
    LOGGER.error("a request failed", exc_info=error)
    return ApiProblem(500, "internal", INTERNAL)


def _of_http(error: HTTPException) -> ApiProblem:
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return ApiProblem(404, "path", "There is nothing at this path: GET /api/docs lists all requests.")
    if error.status_code == 405:
        allowed = headers.get("Allow", "GET, POST")
        return ApiProblem(405, "method", f"Use {allowed} here.", {"Allow": allowed})
    if error.status_code == 413:
        return ApiProblem(413, "size", "The body is too long: send a smaller picture.")
    return ApiProblem(400, "body", f"The body cannot be read: {str(error.detail).rstrip('.')}.", headers)


def wrong_fields(errors: Iterable[Mapping[str, Any]], known: Iterable[str]) -> str:
    """Return Pydantic's errors as one sentence, with a suggestion for an unknown field."""
    names, near, gone = list(known), dict[str, list[str]](), list[str]()
    found: dict[str, list[Mapping[str, Any]]] = {}
    for error in errors:
        if error["type"] == "extra_forbidden":
            field = str(error["loc"][-1])[:60]
            if field in FIELDS:
                gone.append(FIELDS[field].rstrip("."))
            else:
                near[field] = nearest(field, names)
        elif error["type"] != "none_required":
            found.setdefault(_where(error["loc"]), []).append(error)
    sentences = gone + [f"{where} {_describe_errors(group)}" for where, group in found.items()]
    hint = ": did you mean {}?" if len(sentences) + len(near) == 1 else " (did you mean {}?)"
    sentences += [f"there is no field {field!r}" + hint.format(*close) for field, close in near.items() if close]
    # Last and together, because the list of known fields is long.
    if strange := [repr(field) for field, close in near.items() if not close]:
        more = f" and {len(strange) - MAX_FIELDS} more" if len(strange) > MAX_FIELDS else ""
        sentences.insert(
            MAX_FIELDS - 1, f"there is no field {', '.join(strange[:MAX_FIELDS])}{more}: there are {', '.join(names)}"
        )
    more = f"; and {len(sentences) - MAX_FIELDS} more" if len(sentences) > MAX_FIELDS else ""
    text = "; ".join(sentences[:MAX_FIELDS]) + more
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def _where(loc: Sequence[str | int]) -> str:
    """Return the field and the indices in its lists; what follows in `loc` is a branch of a union."""
    places = (str(part) for part in takewhile(lambda part: isinstance(part, int), loc[1:]))
    return f"the field {'.'.join((str(loc[0]), *places))!r}" if loc else "the body"


def _describe_errors(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return the errors of a union's branches for one value as one; those of the value's own type alone, if any."""
    fit = [error for error in errors if not error["type"].endswith(("_type", "_parsing", "_from_float"))]
    first, *others = dict.fromkeys(_describe_error(error) for error in fit or errors)
    return first + "".join(f" or {words.removeprefix('should be ')}" for words in others)


def _describe_error(error: Mapping[str, Any]) -> str:
    # Here: the dashboard's server needs this module before its first page.
    from sightglass.explain.phrases import plural

    kind, words, about = error["type"], str(error["msg"]), error.get("ctx", {})
    if any(str(part).startswith("tuple[") for part in error["loc"]):
        return "should be two whole numbers, [anchor, class]"
    if kind == "missing":
        return "is missing: send it"
    if kind in ("value_error", "assertion_error"):
        return words.partition(", ")[2]
    if kind == "too_long":
        return f"should have at most {plural(about['max_length'], 'item')}"
    if kind == "too_short":
        return f"should have at least {plural(about['min_length'], 'item')}"
    if kind in ("greater_than_equal", "less_than_equal"):
        return f"should be at least {about['ge']:,}" if "ge" in about else f"should be at most {about['le']:,}"
    if kind.startswith("int_"):
        return "should be a whole number"
    if kind.startswith("float_"):
        return "should be a number"
    if kind == "tuple_type":
        return "should be a list"
    if kind == "string_type":
        return "should be text"
    if kind == "string_too_short":
        return "is empty: leave it out, or give a word"
    if kind == "finite_number":
        return "is not a number" if "nan" in str(error.get("input")).lower() else "is not finite"
    if kind.startswith("bool_"):
        return "should be true or false"
    words = words.replace("Input should", "should")
    return words[:1].lower() + words[1:]


def from_validation(error: ValidationError, known: Iterable[str]) -> ApiProblem:
    return ApiProblem(422, "fields", wrong_fields(error.errors(), known))


def finite(value: Any) -> Any:
    """Return a value for JSON, with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def problem_responses(*statuses: int) -> dict[int | str, Json]:
    """Return a route's `responses` for these statuses and for those that any route can answer."""
    found: dict[int | str, Json] = {}
    for status in sorted({*statuses, 401, 403, 408, 413, 500}):
        kinds = [kind for kind in KINDS.values() if status in kind.statuses]
        words = "; ".join(kind.title for kind in kinds)
        found[status] = {
            "description": words,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status == 429:
            found[status]["headers"] = {
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
            }
    return found


async def respond(request: Request, error: Exception) -> Response:
    """Answer whatever a route raises."""
    if isinstance(error, HTTPException) and error.status_code == 404 and (gone := find_route(request.url.path)):
        return response(ApiProblem(410, "path", gone), request.url.path)
    return response(from_exception(error), request.url.path)
