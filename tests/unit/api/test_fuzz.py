"""Every route under what schemathesis makes of the OpenAPI description: each answer is one that it promises."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from PIL import Image

schemathesis = pytest.importorskip("schemathesis")

from schemathesis import Case  # noqa: E402
from schemathesis.checks import negative_data_rejection, positive_data_acceptance  # noqa: E402

from sightglass.api.app import create  # noqa: E402
from sightglass.explain import Explainer  # noqa: E402
from tests.corpus import pixels, saved  # noqa: E402
from tests.servers import settings_of  # noqa: E402

pytestmark = pytest.mark.slow
MODEL, LAYER, LABEL, PASSES = "demo-cls-s", "layer4", "star", 8
# The time on a busy machine is no criterion.
SECONDS = 3600.0
DEEP = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)


PICTURE = saved(Image.fromarray(pixels()), "JPEG")
app = create()
schema = schemathesis.openapi.from_asgi("/api/openapi.json", app)


@pytest.fixture(scope="module", autouse=True)
def _warm() -> Iterator[None]:
    """The first request would otherwise wait for torch, and be too slow on a machine that is busy."""
    Explainer(MODEL)(PICTURE, top_k=1)
    with settings_of(api_timeout=SECONDS, api_model=MODEL):
        yield


@schema.parametrize()
@DEEP
def test_what_the_description_promises_holds(case: Case) -> None:
    # Which names there are, the description cannot say: what has none is refused as it should be.
    # In a form all is text: one value is a list of one, and a field that was left empty is one that was left out.
    form = [negative_data_rejection] if case.media_type == "multipart/form-data" else []
    case.call_and_validate(excluded_checks=[positive_data_acceptance, *form], timeout=SECONDS)
