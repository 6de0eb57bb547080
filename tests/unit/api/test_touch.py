"""POST /api/touch: a page's picture is answered for, and whatever else is asked is one sentence."""

import threading

import pytest

from sightglass.explain import Explainer
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.whatif import touch
from sightglass.video import live
from tests.waits import patience

EDIT = {"marks": [{"kind": "brush", "points": [0.2, 0.2, 0.8, 0.8], "size": 0.2}]}
GUESSED = {"key": "guessed", "edit": EDIT}


def test_touched_picture_is_answered(client):
    key = touch.register(Explainer("demo-cls-s")(load_bundled("scene 3")))
    asked = [{"edit": EDIT}, {"edit": EDIT, "exact": True}, {"edit": {"marks": "none"}}]
    rough, exact, nothing = (client.post("/api/touch", json={"key": key} | body).json() for body in asked)
    assert nothing["sentence"].startswith("Without it: ")
    shares = [next(iter(answer["rows"].values()))["share"] for answer in (rough, exact, nothing)]
    assert abs(shares[0] - shares[1]) < 0.05 < abs(shares[2] - shares[1])


def test_nobody_waits_for_a_model_whose_passes_are_another_processs(client, monkeypatch):
    explanation = Explainer("demo-cls-s")(load_bundled("scene 3"))
    key, end = touch.register(explanation), threading.Event()
    monkeypatch.setattr(explanation.evidence.loaded.adapter, "apart", True)
    hanging = live.ELSEWHERE.submit(end.wait, patience(60))
    others = live.EXECUTOR.submit(end.wait, patience(60))
    assert client.post("/api/touch", json={"key": key, "edit": EDIT}).json()["rows"]
    assert not hanging.done() and not others.done()
    end.set()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (GUESSED, {}, 400),
        (GUESSED, {"origin": "https://example.org"}, 403),
        ({"key": 1, "point": 3}, {}, 422),
        (GUESSED | {"edit": EDIT | {"fill": "b" * 300_000}}, {}, 413),
    ],
)
def test_other_requests_are_refused_in_one_sentence(client, body, headers, status):
    answer = client.post("/api/touch", json=body, headers=headers)
    assert answer.status_code == status and answer.json()["detail"].endswith(".")
