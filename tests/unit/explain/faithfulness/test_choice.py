"""Method and layer for one picture: the matrix is that of single proofs, and the best is the best of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.faithfulness.choice import MAX_LAYERS, Choice, choice, short_list
from sightglass.explain.methods import METHODS
from sightglass.explain.proof import controls
from sightglass.explain.proof.grid import Cell

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain.explanation import Explanation


@pytest.fixture(scope="module")
def explained(scene: Path) -> Explanation:
    return Explainer("demo-vit")(scene, top_k=1)


def test_each_cell_is_the_proof_of_that_method_at_that_layer(explained: Explanation, scene: Path) -> None:
    parts: list[Choice] = []
    found = choice(explained, steps=3, filling="mean", partial=parts.append)
    assert found.layers == short_list(explained.evidence.resident) and len(found.layers) <= MAX_LAYERS
    assert set(found.methods) == {method.id for method in METHODS.values() if method.quick}
    assert len(parts) > 5 and parts[-1].summary() == found.summary()
    cells = {(cell.method, cell.layer): cell for cell in found.cells}
    for method, layer in ((found.methods[0], found.layers[-1]), ("layercam", found.layers[2])):
        single = Explainer("demo-vit")(scene, top_k=1, method=method, layers=layer)
        if single.heatmaps[0].state != "ok":
            assert cells[method, layer].advantage is None
            continue
        proof = single.prove(steps=3, fillings=("mean",))
        assert cells[method, layer].advantage == pytest.approx(proof.map.advantage, abs=0.01)
        random = np.mean([curve.advantage for curve in proof.of("random")])
        assert len(proof.of("random")) == controls.SEEDS
        assert cells[method, layer].random == pytest.approx(random, abs=0.01)


def test_the_short_list_has_the_default_layers_and_the_last_of_each_grid() -> None:
    resident = Explainer().resident
    found = short_list(resident)
    grids = [resident.known_layers[path].shape[1:] for path in found]
    assert set(resident.default_layers) <= set(found) and len(set(found)) == len(found) <= MAX_LAYERS
    assert grids == sorted(grids, reverse=True) and len(set(grids)) >= 5


def test_the_best_has_the_largest_advantage_and_is_above_random() -> None:
    one, two = Cell("gradcam", "a", 0.4, 0.1), Cell("layercam", "b", 0.5, 0.45)
    lucky, empty = Cell("hirescam", "c", 0.1, -0.9), Cell("eigencam", "d", None, 0.0)
    assert Choice("dog", (one, two, lucky, empty)).best == two
    assert "LayerCAM at b shows most" in Choice("dog", (one, two)).sentence
    worse = Choice("dog", (Cell("gradcam", "a", 0.1, 0.2), empty))
    assert worse.best is None and worse.sentence.startswith("No method at any of these layers")


def test_it_stops_and_what_cannot_be_chosen_is_a_sentence(explained: Explanation) -> None:
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        choice(explained, steps=3, progress=lambda *_: cancel.set(), cancel=cancel)
    with pytest.raises(ModelProblem, match="no filling called grey"):
        choice(explained, filling="grey")  # type: ignore[arg-type]
    with pytest.raises(ModelProblem, match="2 to 100 steps"):
        choice(explained, steps=1)
