"""The two routes that apps written against a sketch of such a server know: thin aliases of what `/api` answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from api import service
from api.negotiation import JSON, PNG, answered
from api.problems import Refused, listed
from api.schemas import Class, ClassRequest, ExplainRequest, Name, Picture

if TYPE_CHECKING:
    import threading

    from api.schemas import Settings
    from explain.explanation import Explanation

router = APIRouter(tags=["sketches"])

LOOK = {"colormap": "jet", "alpha": 0.5}
"""What such apps have a legend for; /api/explain has all the others."""


class Sketched(BaseModel):
    """A picture, and what a sketch sends besides; what is not known here is passed over, as those servers do."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    image: Picture
    model: Name | None = Field(None, description="An id of GET /api/models; null: the server's own choice.")


class SketchedClass(Sketched):
    class_: Class | None = Field(
        None, validation_alias="class", description="By index or label; null: the model's best."
    )
    class_index: Class | None = Field(None, description="Another name of `class`.")
    class_idx: Class | None = Field(None, description="Another name of `class`.")
    class_name: Class | None = Field(None, description="Another name of `class`.")
    target_class: Class | None = Field(None, description="Another name of `class`.")

    @model_validator(mode="after")
    def _once(self) -> SketchedClass:
        given = self._given()
        if len(given) > 1:
            raise ValueError(f"names a class as {' and as '.join(given)}: send one of them.")
        return self

    def _given(self) -> dict[str, str | int]:
        fields = SketchedClass.model_fields.keys() - Sketched.model_fields.keys()
        found = {name.rstrip("_"): getattr(self, name) for name in SketchedClass.model_fields if name in fields}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def wanted(self) -> str | int | None:
        """The class, whatever it was called."""
        return next(iter(self._given().values()), None)


class Sketch(BaseModel):
    """What a sketch expects."""

    model_config = ConfigDict(extra="forbid")

    prediction: str = Field(description="A label: the best one, or that of the class that was asked for.")
    confidence: float = Field(ge=0, le=1)
    gradcam_heatmap: str = Field(description="The map alone in colours, PNG in base64, as large as the picture.")
    gradcam_overlay: str = Field(description="The picture under the map, PNG in base64.")


def predict(asked: Sketched, settings: Settings, cancel: threading.Event, kind: str = JSON) -> Sketch:
    """The best class and its map. Raises Problem."""
    about = {"image": asked.image, "model": asked.model, "top_k": 1}
    request = ExplainRequest.model_validate(about | LOOK)
    return _sketch(service.explained(request, settings, cancel), request)


def analyze(asked: SketchedClass, settings: Settings, cancel: threading.Event, kind: str = JSON) -> Sketch:
    """A class of the caller's choice and its map. Raises Problem."""
    if asked.wanted is None:
        return predict(asked, settings, cancel)
    about = {"image": asked.image, "model": asked.model, "classes": (asked.wanted,)}
    request = ClassRequest.model_validate(about | LOOK)
    return _sketch(service.explained(request, settings, cancel), request)


def _sketch(made: Explanation, request: ExplainRequest | ClassRequest) -> Sketch:
    from explain.export.class_files import class_analysis

    # Raises Refused where there is no map.
    overlay = service.only(made, PNG, request)
    label = made.heatmaps[0].target.label
    # A class that was asked for need not be among the best, which are all that is listed.
    scores = [prediction.score for prediction in made.predictions if prediction.label == label]
    score = scores[0] if scores else class_analysis(made, 0)["score"]
    return Sketch(
        prediction=label,
        confidence=min(max(score, 0.0), 1.0),
        gradcam_heatmap=service.text(service.overlay(made, 0, service.look(request.model_copy(update={"alpha": 1.0})))),
        gradcam_overlay=service.text(overlay),
    )


def _about(asked: type[BaseModel]) -> dict[str, Any]:
    body = {"required": True, "content": {JSON: {"schema": asked.model_json_schema()}}}
    return {
        "response_model": Sketch,
        "responses": listed(400, 404, 406, 415, 422, 429, 503, 504),
        "openapi_extra": {"requestBody": body},
    }


def _json_alone(request: Request) -> None:
    """Sketches send nothing else, and a form that another site's page sends needs no leave of its browser."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise Refused(415, "body", f"Send {JSON} here; /api/explain takes files of a form, too.")


@router.post("/predict_with_gradcam", **_about(Sketched))
async def predict_with_gradcam(request: Request) -> Response:
    """The best class of a picture, how sure the model is, and where it looked."""
    _json_alone(request)
    return await answered(request, Sketched, Sketch, predict)


@router.post("/analyze_class", **_about(SketchedClass))
async def analyze_class(request: Request) -> Response:
    """A class of your choice, how sure the model is of it, and what speaks for it."""
    _json_alone(request)
    return await answered(request, SketchedClass, Sketch, analyze)
