"""`replay` of a recipe with a seal makes it again, and says whether it is the same bit for bit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sightglass.cli import main
from sightglass.explain import Explainer
from sightglass.explain.faithfulness import scramble
from sightglass.explain.proof import seal

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain.proof.seal import Seal


@pytest.fixture(scope="module")
def saved(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Seal]:
    """A folder of two maps, of which the second was sealed."""
    folder = tmp_path_factory.mktemp("sealed")
    made = Explainer("demo-cls-s")(scene, top_k=2)
    found = made.seal(1)
    made.save(folder)
    return folder, found


def forget() -> None:
    """Leave nothing of the first time to take it from."""
    seal.forget()
    scramble._CACHE.clear()


def test_replay_says_whether_it_is_the_same(
    saved: tuple[Path, Seal], scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, first = saved
    forget()
    assert main(["replay", str(folder / "gradcam_prediction.png"), "--picture", str(scene)]) == 0
    said = capsys.readouterr().out
    assert f"{first.label}: {first.line}" in said
    assert "The seal matches the saved one bit for bit." in said
    assert "The maps match the saved ones bit for bit." in said
    changed = json.loads((folder / "recipe.json").read_text("utf-8"))
    changed["seals"][0]["marks"][0]["value"] += 1e-12
    other = tmp_path / "recipe.json"
    other.write_text(json.dumps(changed), "utf-8")
    assert main(["replay", str(other), "--picture", str(scene), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["same_seals"] is False
    assert answer["seals"][1]["target"] == first.label
    assert main(["replay", str(other), "--picture", str(scene)]) == 1
    assert "The seal differs from the saved one." in capsys.readouterr().out
