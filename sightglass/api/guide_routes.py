"""Routes named in the guides: thin wrappers of `/api/explain`, drawn in `GUIDE_STYLE`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from starlette.responses import Response

from sightglass.api import service
from sightglass.api.problems import ApiProblem
from sightglass.api.schemas import Class, ExplainRequest, Name, Picture
from sightglass.api.work import add_route
from sightglass.common.errors import ModelProblem
from sightglass.common.settings import settings
from sightglass.explain.explanation import Explanation
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.rendering.style import GUIDE_STYLE
from sightglass.explain.tasks import task_of
from sightglass.report import heatmap_files
from sightglass.report.embedded_recipe import embed
from sightglass.report.html_page import base64_text
from sightglass.report.result_folder import bare_map, every_map
from sightglass.report.results import PlainResult

router = APIRouter(tags=["guides"])


class GuideRequest(BaseModel):
    """Explain the best class of a picture, or one of your choice; unknown fields are ignored, as the guides do."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    image: Picture
    model: Name | None = Field(None, description="An id of GET /api/models; null: the server's default.")
    class_: Class | None = Field(
        None,
        validation_alias=AliasChoices("class", "class_index", "class_idx", "class_name", "target_class"),
        description="By index or label, also as class_index, class_idx, class_name or target_class; null: the best.",
    )
    show_box: bool = Field(False, description="Whether /generate_heatmap draws a detector's boxes, in green.")

    def explain(self, **options: Any) -> Explanation:
        """Explain the class, else as `options` say or the best; raise Problem, and ApiProblem without a map."""
        if self.class_ is not None:
            options = {"targets": (self.class_,)}
        fields = {"image": self.image, "model": self.model} | (options or {"top_k": 1})
        explanation = service.explain(ExplainRequest.model_validate(fields))
        service.check_mapped(explanation)
        return explanation


class GuideAnswer(PlainResult):
    """The answer that the guides describe."""

    prediction: str
    """The label of the best or requested class."""
    confidence: float = Field(ge=0, le=1)
    gradcam_heatmap: str
    """The map alone in colours at picture size, PNG in base64."""
    gradcam_overlay: str
    """The picture under the map, PNG in base64."""


class HeatmapAnswer(PlainResult):
    """Where the heat map is; SIGHTGLASS_HEATMAPS keeps the last 1,000."""

    path: str
    """Name of the file in SIGHTGLASS_HEATMAPS."""
    url: str
    """Address of the request that returns it."""


@router.get(
    "/view_heatmap", responses={200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}}
)
def view_heatmap(
    path: Annotated[str, Query(max_length=200, description="`path` of an answer of POST /generate_heatmap.")],
) -> Response:
    """Return a heat map that POST /generate_heatmap wrote."""
    if (file := heatmap_files.find(path)) is not None:
        return Response(file.read_bytes(), media_type="image/jpeg")
    raise ApiProblem(404, "path", "There is no such heat map: POST /generate_heatmap makes one and answers its path.")


def explain(request: GuideRequest, _: str) -> GuideAnswer:
    """Return the best or requested class and its map; raise Problem."""
    explanation = request.explain()
    if explanation.quantity == "number":
        raise ModelProblem(f"{explanation.model.id} {explanation.task.gives}, no confidence: ask /api/explain.")
    heatmap = explanation.heatmaps[0]
    # A requested class need not be among the best ones, which alone are listed.
    return GuideAnswer(
        prediction=heatmap.target.label,
        confidence=min(max(explanation.task.scorer.score(explanation, 0) or 0.0, 0.0), 1.0),
        gradcam_heatmap=base64_text(to_png(bare_map(explanation, 0, GUIDE_STYLE))),
        gradcam_overlay=base64_text(service.overlay_png(explanation, GUIDE_STYLE)),
    )


def generate(request: GuideRequest, _: str) -> HeatmapAnswer:
    """Write the overlay of the best class, or of all boxes, to the folder of heat maps; raise Problem."""
    boxed = task_of(service.local_model(request.model or settings().api_model)).explains("picture")
    explanation = request.explain(**({"per": "picture"} if boxed else {}))
    overlay = to_jpeg(every_map(explanation, GUIDE_STYLE, boxes=request.show_box))
    name = heatmap_files.save(embed(overlay, explanation, 0, GUIDE_STYLE.overlay, picture=False))
    return HeatmapAnswer(path=name, url=f"/view_heatmap?path={name}")


add_route(router, "/predict_with_gradcam", GuideRequest, GuideAnswer, explain)
add_route(router, "/analyze_class", GuideRequest, GuideAnswer, explain)
add_route(router, "/generate_heatmap", GuideRequest, HeatmapAnswer, generate)
