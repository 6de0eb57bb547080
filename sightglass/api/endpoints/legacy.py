"""Legacy routes for existing client apps: thin aliases of `/api/explain` and `/api/explain/class`."""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sightglass.api import service
from sightglass.api.endpoints.endpoint import Endpoint, read_parameters, take_picture
from sightglass.api.endpoints.negotiation import JSON, PNG
from sightglass.api.problems import ApiProblem
from sightglass.api.schemas import Class, ClassRequest, ExplainRequest, Name, Picture
from sightglass.common import users
from sightglass.common.files import write_unique
from sightglass.common.settings import settings
from sightglass.common.style import OPACITY
from sightglass.export.result_folder import class_analysis

if TYPE_CHECKING:
    import threading

    from starlette.requests import Request

    from sightglass.api.schemas import ApiRules
    from sightglass.explain.explanation import Explanation

STYLE = {"colormap": "jet", "alpha": OPACITY["even"]}
"""The colours that legacy apps show a legend for; /api/explain has all others."""
HEATMAP = re.compile(r"heatmap_\d{8}_\d{6}(_\d+)?\.png")
MAX_HEATMAPS = 1000
"""Files of these names that are kept in a visitor's folder."""


class LegacyRequest(BaseModel):
    """A picture and its model; unknown fields are ignored, as legacy servers do."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    image: Picture
    model: Name | None = Field(None, description="An id of GET /api/models; null: the server's default.")


class LegacyClassRequest(LegacyRequest):
    class_: Class | None = Field(None, validation_alias="class", description="By index or label; null: the best class.")
    class_index: Class | None = Field(None, description="Alias of `class`.")
    class_idx: Class | None = Field(None, description="Alias of `class`.")
    class_name: Class | None = Field(None, description="Alias of `class`.")
    target_class: Class | None = Field(None, description="Alias of `class`.")

    @model_validator(mode="after")
    def _single_class(self) -> LegacyClassRequest:
        given = self._collect_classes()
        if len(given) > 1:
            raise ValueError(f"names a class as {' and as '.join(given)}: send one of them.")
        return self

    def _collect_classes(self) -> dict[str, str | int]:
        names = (name for name in LegacyClassRequest.model_fields if "class" in name)
        return {name.rstrip("_"): value for name in names if (value := getattr(self, name)) is not None}

    @property
    def wanted(self) -> str | int | None:
        """Return the class, whichever field names it."""
        return next(iter(self._collect_classes().values()), None)


class LegacyAnswer(BaseModel):
    """The answer that legacy apps expect."""

    model_config = ConfigDict(extra="forbid")

    prediction: str = Field(description="The label of the best or requested class.")
    confidence: float = Field(ge=0, le=1)
    gradcam_heatmap: str = Field(description="The map alone in colours at picture size, PNG in base64.")
    gradcam_overlay: str = Field(description="The picture under the map, PNG in base64.")


class HeatmapAnswer(BaseModel):
    """Where the heat map is."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(description="Name of the file in SIGHTGLASS_HEATMAPS.")
    url: str = Field(description="Address of the request that returns it.")


class ViewParameters(BaseModel):
    path: str = Field(max_length=200, description="`path` of an answer of POST /generate_heatmap.")


def predict(request: LegacyRequest, rules: ApiRules, cancel: threading.Event, kind: str = JSON) -> LegacyAnswer:
    """Return the best class and its map; raise Problem."""
    return _answer(*_explain_best(request, rules, cancel))


def generate(request: LegacyRequest, rules: ApiRules, cancel: threading.Event, kind: str = JSON) -> HeatmapAnswer:
    """Write the overlay of the best class or box to the folder of heat maps; raise Problem."""
    explanation, full = _explain_best(request, rules, cancel)
    # Raises ApiProblem if there is no map.
    overlay = service.first_map(explanation, PNG, full)
    folder = users.folder(settings().heatmaps)
    name = write_unique(overlay, folder, f"heatmap_{datetime.now():%Y%m%d_%H%M%S}.png").name
    files = [file for file in folder.glob("*.png") if HEATMAP.fullmatch(file.name)]
    for old in sorted(files, key=os.path.getmtime)[:-MAX_HEATMAPS]:
        old.unlink(missing_ok=True)
    return HeatmapAnswer(path=name, url=f"/view_heatmap?path={name}")


async def view_heatmap(request: Request) -> Response:
    """Return a heat map that POST /generate_heatmap wrote."""
    name = read_parameters(request, ViewParameters, (PNG,)).path
    # A whole name, so that no path leads out of the folder.
    if HEATMAP.fullmatch(name) and (file := users.folder(settings().heatmaps) / name).is_file():
        return Response(await run_in_threadpool(file.read_bytes), media_type=PNG)
    raise ApiProblem(404, "path", "There is no such heat map: POST /generate_heatmap makes one and answers its path.")


def _explain_best(
    request: LegacyRequest, rules: ApiRules, cancel: threading.Event
) -> tuple[Explanation, ExplainRequest]:
    fields = {"image": request.image, "model": request.model, "top_k": 1}
    full = ExplainRequest.model_validate(fields | STYLE)
    return service.explain(full, rules, cancel), full


def analyze(request: LegacyClassRequest, rules: ApiRules, cancel: threading.Event, kind: str = JSON) -> LegacyAnswer:
    """Return a class of the caller's choice and its map; raise Problem."""
    if request.wanted is None:
        return predict(request, rules, cancel)
    fields = {"image": request.image, "model": request.model, "classes": (request.wanted,)}
    full = ClassRequest.model_validate(fields | STYLE)
    return _answer(service.explain(full, rules, cancel), full)


def _answer(explanation: Explanation, request: ExplainRequest | ClassRequest) -> LegacyAnswer:
    # Raises ApiProblem if there is no map.
    overlay = service.first_map(explanation, PNG, request)
    label = explanation.heatmaps[0].target.label
    # A requested class need not be among the best ones, which alone are listed.
    scores = [prediction.score for prediction in explanation.predictions if prediction.label == label]
    score = scores[0] if scores else class_analysis(explanation, 0)["score"]
    return LegacyAnswer(
        prediction=label,
        confidence=min(max(score, 0.0), 1.0),
        gradcam_heatmap=service.base64_text(
            service.overlay_png(explanation, 0, service.style_of(request.model_copy(update={"alpha": 1.0})))
        ),
        gradcam_overlay=service.base64_text(overlay),
    )


_BEST = "Explain the best class of a picture: how sure the model is, and where it looked."
_CLASS = "Explain a class of your choice: how sure the model is of it, and what speaks for it."
_WRITE = f"Write a picture under its map into SIGHTGLASS_HEATMAPS, which keeps the last {MAX_HEATMAPS:,}."
ENDPOINTS = (
    *(
        take_picture(f"/{name}", body, answer, work, name=name, description=about, tag="legacy")
        for name, body, answer, work, about in (
            ("predict_with_gradcam", LegacyRequest, LegacyAnswer, predict, _BEST),
            ("analyze_class", LegacyClassRequest, LegacyAnswer, analyze, _CLASS),
            ("generate_heatmap", LegacyRequest, HeatmapAnswer, generate, _WRITE),
        )
    ),
    Endpoint(
        "/view_heatmap",
        view_heatmap,
        tag="legacy",
        parameters=ViewParameters,
        offers=(PNG,),
        choice="The picture under its map.",
        errors=(404, 406, 422),
    ),
)
