"""Declare routes: one description for the router and for OpenAPI."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sightglass.api import problems
from sightglass.api.endpoints.negotiation import JSON, negotiate, respond
from sightglass.api.problems import ApiProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

FORM = "multipart/form-data"
WRONG_BODY = (400, 404, 406, 415, 422, 429, 503, 504)
"""Statuses of routes that take a picture."""
ParametersT = TypeVar("ParametersT", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]


class Endpoint(Route):
    """A route and what OpenAPI says of it; the name is its operation id."""

    def __init__(
        self,
        path: str,
        handler: Handler,
        answer: type[BaseModel] | None = None,
        *,
        name: str | None = None,
        description: str | None = None,
        tag: str = "server",
        parameters: type[BaseModel] | None = None,
        body: type[BaseModel] | None = None,
        offers: Sequence[str] = (JSON,),
        choice: str = "",
        errors: Sequence[int] = (406, 422),
    ) -> None:
        """Declare it; `offers` are the media types of the answer, None is plain text.

        `choice` says what each of `offers` holds. Name and description default to the handler's.
        """
        super().__init__(path, handler, name=name)
        # Starlette answers HEAD wherever it answers GET; here 405 names the one method of a route.
        self.methods = {"POST" if body else "GET"}
        self.description = description or inspect.getdoc(handler)
        self.answer, self.tag, self.parameters, self.errors = answer, tag, parameters, errors
        self.body, self.offers, self.choice = body, offers, choice


def take_picture(
    path: str, body: type[BaseModel], answer: type[BaseModel], work: Callable[..., Any], **about: Any
) -> Endpoint:
    """Return a route that reads `body`, as a form or as JSON, and answers what `work` makes of it in the queue.

    `about`: more of `Endpoint`.
    """
    about = {"offers": (JSON,), "tag": "pictures", "errors": WRONG_BODY} | about

    async def handle(request: Request) -> Response:
        return await respond(request, body, answer, work, about["offers"])

    return Endpoint(path, handle, answer, body=body, **about)


def read_parameters(request: Request, schema: type[ParametersT], offers: Sequence[str] = (JSON,)) -> ParametersT:
    """Return the parameters of a GET request, in its path and its query; a list is a repeated parameter.

    Raises ApiProblem, 406 where the client accepts none of `offers`, and 422 for a wrong or an unknown parameter.
    """
    known = [name for name in schema.model_fields if name not in request.path_params]
    negotiate(request.headers.get("accept"), offers)
    lists = {
        name: request.query_params.getlist(name)
        for name, about in schema.model_fields.items()
        if get_origin(about.annotation) is tuple and name in request.query_params
    }
    try:
        found = schema.model_validate({**request.query_params, **lists, **request.path_params})
    except ValidationError as error:
        raise problems.from_validation(error, schema.model_fields) from None
    for name in request.query_params:
        if name not in known:
            wrong = {"type": "extra_forbidden", "loc": (name,), "msg": ""}
            raise ApiProblem(422, "fields", problems.wrong_fields([wrong], known or ("none",)))
    return found


def answer_json(answer: BaseModel) -> Response:
    """Return the response for an answer."""
    return Response(answer.model_dump_json(), media_type=JSON)
