"""Routes named in the guides: thin wrappers of `/api/explain`, drawn in `GUIDE_STYLE`."""

from dataclasses import replace
from typing import Annotated, Any, ClassVar, get_origin

from fastapi import APIRouter, Query
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo
from starlette.responses import Response

from sightglass.api import service
from sightglass.api.problems import ApiProblem
from sightglass.api.schemas import ExplainRequest, Finite, MapRequest, Name, Target, field_of
from sightglass.api.work import add_head_routes, add_route
from sightglass.common import guide_words
from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json
from sightglass.common.settings import settings
from sightglass.explain.explanation import Explanation
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.rendering.style import GUIDE_STYLE, FileMode, Style
from sightglass.explain.tasks import task_of
from sightglass.models.catalog import detector
from sightglass.report import heatmap_files
from sightglass.report.embedded_recipe import embed
from sightglass.report.html_page import base64_text
from sightglass.report.result_folder import bare_map, every_map
from sightglass.report.results import PlainResult

router = APIRouter(tags=["guides"])
SHOWN_BOXES = ("confidence", "iou", "classes")
"""Fields that choose which boxes are shown."""


class GuideRequest(MapRequest):
    """Explain the best class or one of your choice; the guides' names are taken."""

    takes_words: ClassVar[bool] = True

    targets: tuple[Target, ...] = Field(
        (),
        max_length=1,
        description="A class by index or label, also as class, class_index, class_name; none: the best.",
    )
    colormap: Name = Field(GUIDE_STYLE.colormap, description="Of pictures: jet, inferno, viridis, turbo, ...")
    alpha: Finite = Field(GUIDE_STYLE.alpha, ge=0, le=1, description="Of pictures: opacity of the colours.")
    mode: FileMode = Field("blend", description="Of pictures; blend: all of it coloured evenly.")

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, values: Any) -> Any:
        """Return the sent fields under our names."""
        if not isinstance(values, dict):
            return values
        ours: Json = {}
        for sent, value in values.items():
            name = field_of(cls, sent)
            if name in ours:
                raise ValueError(f"has {name} twice, also as {sent}: send one of them")
            set_to = "" if sent == name else (guide_words.renamed(sent, cls.model_fields) or "").partition("=")[2]
            if not set_to:
                ours |= _read_field(cls.model_fields.get(name), name, value, alone=sent != name)
            elif _read_truth(sent, value):
                ours[name] = set_to
        return ours

    @property
    def style(self) -> Style:
        """How its pictures are drawn."""
        return replace(Style.parse(self.colormap, self.alpha, self.mode), boxes=GUIDE_STYLE.boxes)

    def explain(self, **options: Any) -> Explanation:
        """Explain with its options, then with these; raise Problem."""
        fields = self.model_dump(exclude_unset=True, exclude_none=True, include=set(ExplainRequest.model_fields))
        explanation = service.explain(ExplainRequest.model_validate({"top_k": 1} | options | fields))
        service.check_mapped(explanation)
        return explanation


def _read_truth(name: str, value: Any) -> bool:
    try:
        return TypeAdapter(bool).validate_python(value)
    except ValidationError:
        raise ValueError(f"has {name} that is neither true nor false: send one of them") from None


def _read_field(field: FieldInfo | None, name: str, value: Any, *, alone: bool) -> Json:
    """Return a field with its value, as a tuple where it has several.

    `alone`: whether one value may stand for a list of one, as under a guide's name.
    """
    if field is None or get_origin(field.annotation) is not tuple:
        return {name: value}
    if alone and value is None:
        return {}
    if not isinstance(value, (list, tuple)):
        return {name: (value,) if alone else value}
    return {name: tuple(tuple(item) if isinstance(item, list) else item for item in value)}


class HeatmapRequest(GuideRequest):
    """Draw the map of the best class or all boxes; the guides' names are taken."""

    model: Name | None = Field(None, description="An id of GET /api/models; null: the server's detector.")
    show_box: bool = Field(False, description="Whether a detector's boxes are drawn, in green.")


class GuideAnswer(PlainResult):
    """The answer that the guides describe."""

    prediction: str
    """The label of the best or requested class."""
    confidence: float | None = Field(ge=0, le=1)
    """The score of that label; null where it was not found in the picture."""
    gradcam_heatmap: str
    """The map alone in colours at picture size, PNG in base64."""
    gradcam_overlay: str
    """The picture under the map, PNG in base64."""
    notes: tuple[str, ...]
    """Sentences on the map, and on options without effect."""


class HeatmapAnswer(PlainResult):
    """Where the heat map is; SIGHTGLASS_HEATMAPS keeps the last 1,000."""

    path: str
    """Name of the file in SIGHTGLASS_HEATMAPS."""
    url: str
    """Address of the request that returns it."""
    notes: tuple[str, ...]
    """Sentences on the map, and on options without effect."""


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
    style, explanation = request.style, request.explain()
    if explanation.quantity == "number":
        raise ModelProblem(f"{explanation.model.id} {explanation.task.gives}, no confidence: ask /api/explain.")
    # A requested class need not be among the best ones, which alone are listed.
    score = explanation.task.scorer.score(explanation, 0)
    return GuideAnswer(
        prediction=explanation.heatmaps[0].target.label,
        confidence=None if score is None else min(max(score, 0.0), 1.0),
        gradcam_heatmap=base64_text(to_png(bare_map(explanation, 0, style))),
        gradcam_overlay=base64_text(service.overlay_png(explanation, style)),
        notes=explanation.notes,
    )


def generate(request: HeatmapRequest, _: str) -> HeatmapAnswer:
    """Write the overlay of the best class, or of all boxes, to the folder of heat maps; raise Problem."""
    style, name = request.style, request.model or _detector()
    task = task_of(service.local_model(name))
    options: Json = {"model": name}
    if task.explains("picture") and not (request.targets or request.joint):
        options["per"] = "picture"
    if request.show_box:
        task.check_box_options(name, "show_box")
    explanation = request.explain(**options)
    overlay = to_jpeg(every_map(explanation, style, boxes=request.show_box))
    file = heatmap_files.save(embed(overlay, explanation, 0, style.overlay, picture=False))
    notes = (*explanation.notes, *_describe_idle_boxes(request, explanation))
    return HeatmapAnswer(path=file, url=f"/view_heatmap?path={file}", notes=notes)


def _describe_idle_boxes(request: HeatmapRequest, explanation: Explanation) -> list[str]:
    """Return sentences on fields that choose the boxes shown, where none is drawn and the map is of all."""
    options = explanation.options
    if options.per != "picture" or request.show_box or options.within != "picture":
        return []
    given = [name for name in SHOWN_BOXES if getattr(request, name) not in (None, ())]
    return [f"{name} has no effect: the map is of all boxes, and none is drawn without show_box." for name in given]


def _detector() -> str:
    """Return the server's model if it draws boxes, else the first detector here."""
    name = settings().api_model
    return name if task_of(service.local_model(name)).explains("picture") else detector()


add_route(router, "/predict_with_gradcam", GuideRequest, GuideAnswer, explain)
add_route(router, "/analyze_class", GuideRequest, GuideAnswer, explain)
add_route(router, "/generate_heatmap", HeatmapRequest, HeatmapAnswer, generate)


add_head_routes(router)
