"""POST /api/touch: a page's picture is answered for, and whatever else is asked is one sentence."""

import pytest

from sightglass.explain import Explainer
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.whatif import touch

EDIT = {"marks": [{"kind": "brush", "points": [0.2, 0.2, 0.8, 0.8], "size": 0.2}], "fill": "blur", "keep": False}


def test_touched_picture_is_answered(client):
    key = touch.register(Explainer("demo-cls-s")(load_bundled("scene 3")))
    rough, exact = (client.post("/api/touch", json={"key": key, "edit": EDIT, "exact": way}) for way in (False, True))
    nothing = client.post("/api/touch", json={"key": key, "edit": {"marks": "none"}})
    assert rough.status_code == exact.status_code == nothing.status_code == 200
    rough, exact, nothing = (answer.json() for answer in (rough, exact, nothing))
    assert nothing["sentence"].startswith("You covered 0") and len(exact["sentence"]) > 20
    best = next(iter(exact["rows"]))
    shares = [answer["rows"][best]["share"] for answer in (rough, exact, nothing)]
    assert abs(shares[0] - shares[1]) < 0.05 and abs(shares[2] - shares[1]) > 0.05


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"key": "guessed", "edit": EDIT}, {}, 400),
        ({"key": "guessed", "edit": EDIT}, {"origin": "https://example.org"}, 403),
        ({"key": 1, "edit": EDIT}, {}, 422),
        ({"edit": EDIT, "point": 3}, {}, 422),
        ([], {}, 422),
    ],
)
def test_other_requests_are_refused_in_one_sentence(client, body, headers, status):
    answer = client.post("/api/touch", json=body, headers=headers)
    assert answer.status_code == status and answer.json()["detail"].endswith(".")
