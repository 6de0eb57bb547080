"""Every route under what schemathesis makes of the OpenAPI description: each answer is one that it promises."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from PIL import Image

schemathesis = pytest.importorskip("schemathesis")

from schemathesis.checks import negative_data_rejection, positive_data_acceptance  # noqa: E402
from schemathesis.generation import GenerationMode  # noqa: E402

from sightglass.api.app import create  # noqa: E402
from sightglass.api.schemas import ApiRules  # noqa: E402
from sightglass.explain import Explainer  # noqa: E402

if TYPE_CHECKING:
    from schemathesis import Case

pytestmark = pytest.mark.slow
MODEL, LAYER, LABEL, PASSES = "demo-cls-s", "layer4", "star", 8
ALONE = {"confidence", "iou", "ratio", "within", "head", "vocabulary"}
"""Fields that a classifier refuses: as a rule they are left out, and names are known ones, to get to the engine."""
# Nothing is told by how long a busy machine takes.
SECONDS = 3600.0
DEEP = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)


def _picture(side: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(side).integers(0, 256, (side, side + 9, 3), np.uint8)
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


PICTURES = {"image": _picture(40), "other": _picture(23)}
app = create(ApiRules(timeout=SECONDS, model=MODEL))
# A server that is starting answers 503, as it should.
app.state.readiness.warmed()
whole = schemathesis.openapi.from_asgi("/api/openapi.json", app)


@whole.hook
def map_case(context: Any, case: Case) -> Case:
    """What ought to be accepted has a picture and a model that are there, so that it gets as far as the engine."""
    body, meta = case.body, case.meta
    if meta is not None and meta.generation.mode == GenerationMode.POSITIVE and "model" in (case.path_parameters or {}):
        case.path_parameters["model"] = MODEL
    if not isinstance(body, dict) or meta is None or meta.generation.mode != GenerationMode.POSITIVE:
        return case
    for name, data in PICTURES.items():
        if name in body:
            body[name] = data if case.media_type == "multipart/form-data" else base64.b64encode(data).decode()
    for name, value in (("model", MODEL), ("layers", [LAYER]), ("masks", PASSES)):
        if body.get(name):
            body[name] = value
    if "models" in body:
        body["models"] = [MODEL, MODEL]
    for name in ("targets", "classes"):
        if body.get(name):
            body[name] = [7, LABEL]
    if "image" in body and len(str(body.get("name"))) % 4:
        body = case.body = {name: value for name, value in body.items() if name not in ALONE}
        body |= {name: value for name, value in (("colormap", "jet"), ("method", "layercam")) if body.get(name)}
    if "save_below" in body:
        body["save_below"] = None
    if "context" in body:
        body["context"] = False
    return case


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """The first request would otherwise wait for torch, and be too slow on a machine that is busy."""
    Explainer(MODEL)(PICTURES["image"], top_k=1)


@whole.parametrize()
@DEEP
def test_what_the_description_promises_holds(case: Case) -> None:
    # Which names there are, the description cannot say: what has none is refused as it should be.
    # In a form all is text: one value is a list of one, and a field that was left empty is one that was left out.
    form = [negative_data_rejection] if case.media_type == "multipart/form-data" else []
    case.call_and_validate(excluded_checks=[positive_data_acceptance, *form], timeout=SECONDS)
