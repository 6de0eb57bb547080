"""Errors as problem details (RFC 9457)."""

import logging
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from itertools import takewhile
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sightglass.common import guide_words
from sightglass.common.errors import (
    AnswerProblem,
    Cancelled,
    ImageProblem,
    MachineProblem,
    OutOfMemory,
    Problem,
    SettingProblem,
    TooLarge,
    Unreadable,
    WeightsProblem,
    describe_invalid,
    from_machine,
)

LOGGER = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
CLIENT_CLOSED = 499
"""Status counted when the client disconnected before an answer; never sent."""


class ProblemDocument(BaseModel):
    """A problem as defined by RFC 9457."""

    model_config = ConfigDict(extra="forbid", title="Problem")

    type: str = Field(description="Its kind, as a path.", examples=["/api/problems/size"])
    title: str = Field(description="The status in words.")
    status: int
    code: str = Field(description="Its kind, the last part of `type`.", examples=["size"])
    detail: str = Field(description="One sentence: what was wrong and what to do.")
    instance: str | None = Field(default=None, description="The path of the request.", examples=["/api/explain"])


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": about, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, about in (("4XX", "The request cannot be answered."), ("5XX", "The server cannot answer now."))
}
"""What every route can answer beside its result, for OpenAPI."""


class ApiProblem(Problem):
    """An error answered with a given status, code and detail, one sentence; docs/api.md lists the codes."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.headers = status, code, dict(headers or {})


def response(problem: ApiProblem, instance: str | None = None) -> Response:
    """Return the response for a problem; `instance` is the request's path."""
    document = ProblemDocument(
        type=f"/api/problems/{problem.code}",
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        code=problem.code,
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
    # The guides' routes may go on with a file's name.
    sentence = guide_words.answer("/" + path.split("/")[1])
    if sentence is not None and isinstance(error, HTTPException) and error.status_code == 404:
        return response(ApiProblem(404, "path", sentence), path)
    return response(from_exception(error), path)


_STATUSES: tuple[tuple[type[Problem], int, str], ...] = (
    (TooLarge, 413, "size"),
    (ImageProblem, 422, "image"),
    (AnswerProblem, 422, "answer"),
    (WeightsProblem, 503, "weights"),
    (SettingProblem, 500, "internal"),
    (OutOfMemory, 413, "size"),
    (MachineProblem, 500, "internal"),
    (Unreadable, 500, "internal"),
    (Problem, 400, "option"),
)
"""Status and code for errors of the library; the first that fits counts."""
_PRIVATE: dict[type[Problem], str] = {
    MachineProblem: "The server lacks room, access or free files: its log says which.",
    Unreadable: "A file of the server cannot be read: its log says which.",
}
"""What is said in place of sentences that name folders of the server."""


def from_exception(error: BaseException) -> ApiProblem:
    """Return the problem for an exception; messages of unexpected ones stay private."""
    if isinstance(error, ApiProblem):
        return error
    if isinstance(error, RequestValidationError):
        # FastAPI puts where a parameter was sent before its name.
        return from_validation([{**details, "loc": details["loc"][1:]} for details in error.errors()])
    if isinstance(error, Cancelled):
        return ApiProblem(504, "timeout", "The work was stopped before it finished: try again.")
    if isinstance(error, HTTPException):
        return _from_http(error)
    problem = error if isinstance(error, Problem) else from_machine(error)
    if problem is not error or isinstance(error, SettingProblem | MachineProblem | Unreadable):
        LOGGER.error("%s", problem or "a request failed", exc_info=error)
    if problem is None:
        detail = "An internal error occurred, not caused by the request: try another model or method."
        return ApiProblem(500, "internal", detail)
    status, code = next((status, code) for kind, status, code in _STATUSES if isinstance(problem, kind))
    private = next((sentence for kind, sentence in _PRIVATE.items() if type(problem) is kind), "")
    return ApiProblem(status, code, private or str(problem))


def _from_http(error: HTTPException) -> ApiProblem:
    if error.status_code == 404:
        return ApiProblem(404, "path", "There is nothing at this path: GET /api/docs lists all requests.")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET, POST")
        return ApiProblem(405, "method", f"Use {allowed} here.", {"Allow": allowed})
    return ApiProblem(400, "body", f"The body cannot be read: {str(error.detail).rstrip('.').replace('. ', ': ')}.")


_OF_SERVER = {"device": "the server's is SIGHTGLASS_API_DEVICE"}


def from_validation(errors: Iterable[Mapping[str, Any]], known: Collection[str] = ()) -> ApiProblem:
    """Return pydantic's errors as one sentence, with suggestions for unknown fields."""
    invalid, unknown = dict[str, list[str]](), list[str]()
    for error in errors:
        if error["type"] == "extra_forbidden":
            field = str(error["loc"][-1])[:60]
            advice = guide_words.advise(field, known, _OF_SERVER).removesuffix(".")
            unknown.append(f"there is no field {field!r}: {advice}")
        else:
            message = "is missing: send it" if error["type"] == "missing" else describe_invalid(str(error["msg"]))
            # With its list indices.
            first, *rest = error["loc"] or ("",)
            field = ".".join((str(first), *map(str, takewhile(lambda part: isinstance(part, int), rest))))
            invalid.setdefault(f"the field {field!r}" if error["loc"] else "the body", []).append(message)
    # A union has an error of each branch.
    sentences = [f"{field} {' or '.join(dict.fromkeys(messages))}" for field, messages in invalid.items()] + unknown
    text = "; ".join(sentences[:5])
    return ApiProblem(422, "fields", text[:1].upper() + text[1:] + ("" if text.endswith("?") else "."))
