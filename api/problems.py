"""Everything that goes wrong, as RFC 9457 has it: a kind, a title, and one sentence that says what to do."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.work_queue import Busy, TooSlow
from common.errors import Cancelled, ImageProblem, ModelProblem, Problem, SettingProblem, TooLarge, WeightsProblem
from common.suggestions import nearest
from explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request

LOGGER = logging.getLogger(__name__)
MEDIA = "application/problem+json"
AT = "/api/problems"
INTERNAL = "Something broke in here, not in what was sent: try another model or method."
SHOWN = 5
"""Wrong fields that are told of."""


@dataclass(frozen=True, slots=True)
class Kind:
    title: str
    statuses: tuple[int, ...]
    about: str


KINDS: dict[str, Kind] = {
    "image": Kind("The picture cannot be used", (415, 422), "Damaged, cut off, empty, or of a kind not read here."),
    "size": Kind(
        "Too large",
        (413,),
        "More bytes or pixels than are taken, or sent in one answer: a smaller picture, or fewer maps.",
    ),
    "body": Kind("The body cannot be read", (400, 415), "Send JSON or a form (multipart/form-data), whole."),
    "fields": Kind("A field is wrong", (422,), "Unknown, missing, of another type, or out of its range."),
    "model": Kind("No such model", (404,), "GET /api/models lists those that there are."),
    "weights": Kind("The weights are not here", (404, 503), "Nothing is downloaded for a request: the operator can."),
    "option": Kind("This cannot be asked", (400,), "The model, or this picture, cannot do what an option says."),
    "map": Kind("There is no map", (422,), "Nothing was found that it could be of: ask for JSON, or lower confidence."),
    "accept": Kind("No such kind of answer", (406,), "What `Accept` names is not made here."),
    "path": Kind("No such path", (404,), "GET /api/docs lists what can be asked."),
    "method": Kind("Not by this method", (405,), "`Allow` says by which."),
    "key": Kind("A key is asked for", (401,), "Send it as `Authorization: Bearer` or `X-API-Key`."),
    "origin": Kind(
        "From elsewhere",
        (403,),
        "Another site's page, or a name that this machine is not known by: SIGHTGLASS_API_ORIGINS and "
        "SIGHTGLASS_API_HOSTS let them in.",
    ),
    "slow": Kind("The request was too slow", (408,), "Its body stood still or took too long."),
    "busy": Kind("Too many requests", (429, 503), "Come back after `Retry-After` seconds."),
    "timeout": Kind("The answer took too long", (504,), "Choose a quicker method, fewer masks, or a smaller model."),
    "internal": Kind("Something broke", (500,), "A fault of this program: it stands in its log."),
}


class Told(BaseModel):
    """A problem, as RFC 9457 has it."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="What kind it is: a path here that says more.")
    title: str
    status: int
    detail: str = Field(description="One sentence: what was wrong and what to do.")
    instance: str | None = Field(default=None, description="The path that was asked.")


class Refused(Problem):
    """What is answered with a status of its own."""

    def __init__(self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        # A field's name may begin it.
        super().__init__(detail[:1].upper() + detail[1:] if kind == "fields" else detail)
        self.status, self.kind, self.headers = status, kind, dict(headers or {})


def answer(
    status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None, *, instance: str | None = None
) -> Response:
    """The response; `kind` is one of KINDS."""
    told = {"type": f"{AT}/{kind}", "title": KINDS[kind].title, "status": status, "detail": detail}
    body = json.dumps(told | ({"instance": instance} if instance else {})).encode()
    return Response(body, status, {**(headers or {}), "Cache-Control": "no-store"}, MEDIA)


def of(error: BaseException) -> Refused:
    """What an exception is answered with. What nobody foresaw is logged, and told of without its words."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Busy):
        return Refused(429, "busy", str(error), {"Retry-After": str(error.retry_after)})
    if isinstance(error, TooSlow | Cancelled):
        return Refused(504, "timeout", str(error) or "This was stopped before it was done: try again.")
    if isinstance(error, TooLarge):
        return Refused(413, "size", str(error))
    if isinstance(error, ImageProblem):
        return Refused(422, "image", str(error))
    if isinstance(error, WeightsProblem):
        return Refused(503, "weights", str(error))
    if isinstance(error, SettingProblem):
        LOGGER.error("%s", error)
        return Refused(500, "internal", str(error))
    if isinstance(error, ModelProblem | Problem):
        return Refused(400, "option", str(error))
    if isinstance(error, MemoryError):
        return Refused(413, "size", "This does not fit in memory: give a smaller picture, or fewer classes.")
    if isinstance(error, HTTPException):
        return _of_http(error)
    LOGGER.error("a request failed", exc_info=error)
    return Refused(500, "internal", INTERNAL)


def _of_http(error: HTTPException) -> Refused:
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return Refused(404, "path", "There is nothing at this path: GET /api/docs lists what can be asked.")
    if error.status_code == 405:
        return Refused(405, "method", f"Use {headers.get('Allow', 'another method')} here.", headers)
    if error.status_code == 413:
        return Refused(413, "size", "This is longer than what is taken here: send a smaller picture.")
    return Refused(400, "body", f"The body cannot be read: {str(error.detail).rstrip('.')}.", headers)


def wrong_fields(errors: Iterable[Mapping[str, Any]], known: Iterable[str]) -> str:
    """Pydantic's complaints as one sentence; an unknown field is told with what it is likely meant to be."""
    names, near = list(known), dict[str, list[str]]()
    found: dict[str, list[Mapping[str, Any]]] = {}
    for error in errors:
        if error["type"] == "extra_forbidden":
            field = str(error["loc"][-1])[:60]
            near[field] = nearest(field, names)
        elif error["type"] != "none_required":
            found.setdefault(_where(error["loc"]), []).append(error)
    told = [f"{where} {_what(group)}" for where, group in found.items()]
    hint = ": did you mean {}?" if len(told) + len(near) == 1 else " (did you mean {}?)"
    told += [f"there is no field {field!r}" + hint.format(*close) for field, close in near.items() if close]
    # Told last and together: the list of those that there are is long.
    if strange := [repr(field) for field, close in near.items() if not close]:
        more = f" and {len(strange) - SHOWN} more" if len(strange) > SHOWN else ""
        told.insert(SHOWN - 1, f"there is no field {', '.join(strange[:SHOWN])}{more}: there are {', '.join(names)}")
    more = f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    text = "; ".join(told[:SHOWN]) + more
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def _where(loc: Sequence[str | int]) -> str:
    """A field, and the places in its lists: what follows is a branch of a union, which is no field of anybody's."""
    parts = loc[1:] if loc[:1] in (("body",), ("query",), ("path",)) else loc
    places = (str(part) for part in takewhile(lambda part: isinstance(part, int), parts[1:]))
    return ".".join((str(parts[0]), *places)) if parts else "the body"


def _what(errors: Sequence[Mapping[str, Any]]) -> str:
    """What the branches of a union say of one value, as one complaint: those of its own type alone, where one is."""
    fit = [error for error in errors if not error["type"].endswith(("_type", "_parsing", "_from_float"))]
    first, *others = dict.fromkeys(_words(error) for error in fit or errors)
    return first + "".join(f" or {words.removeprefix('should be ')}" for words in others)


def _words(error: Mapping[str, Any]) -> str:
    kind, words, about = error["type"], str(error["msg"]), error.get("ctx", {})
    if any(str(part).startswith("tuple[") for part in error["loc"]):
        return "should be two whole numbers, [anchor, class]"
    if kind == "missing":
        return "is missing"
    if kind in ("value_error", "assertion_error"):
        return words.partition(", ")[2]
    if kind == "too_long":
        return f"should have at most {plural(about['max_length'], 'item')}"
    if kind == "too_short":
        return f"should have at least {plural(about['min_length'], 'item')}"
    if kind == "string_too_short":
        return "is empty: leave it out, or give a word"
    if kind == "finite_number":
        return "is not a number" if "nan" in str(error.get("input")).lower() else "is not finite"
    if kind.startswith("bool_"):
        return "should be true or false"
    words = words.replace("Input should", "should")
    return words[:1].lower() + words[1:]


def of_validation(error: ValidationError | RequestValidationError, known: Iterable[str]) -> Refused:
    return Refused(422, "fields", wrong_fields(error.errors(), known))


def finite(value: Any) -> Any:
    """What JSON can say: a number that is not finite is null."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def listed(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these, as problems; 401, 403 and 500 can happen everywhere."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 401, 403, 408, 413, 500}):
        kinds = [kind for kind in KINDS.values() if status in kind.statuses]
        words = "; ".join(kind.title for kind in kinds)
        found[status] = {
            "description": words,
            "content": {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status == 429:
            found[status]["headers"] = {
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
            }
    return found


def handle(app: FastAPI) -> None:
    """Whatever a route raises is answered here."""

    async def told(request: Request, error: Exception) -> Response:
        if isinstance(error, RequestValidationError):
            fields = [str(part["loc"][-1]) for part in error.errors()]
            refused = of_validation(error, fields)
        else:
            refused = of(error)
        return answer(refused.status, refused.kind, str(refused), refused.headers, instance=request.url.path)

    for kind in (HTTPException, RequestValidationError, Problem, Cancelled, MemoryError, Exception):
        app.add_exception_handler(kind, told)
