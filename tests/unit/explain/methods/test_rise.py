"""Masks: the map is where the answer hangs on, equals a plain reference, and is the same, bounded and stoppable."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.methods import METHODS, rise
from sightglass.explain.methods.masks import Masks
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.models.adapter import Target
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.adapters.detector import Detections, Detector
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CPU = torch.device("cpu")
METHOD = METHODS["drise"]
GREY = 114 / 255
BOXES = ((8.0, 8.0, 40.0, 40.0), (50.0, 20.0, 90.0, 60.0), (10.0, 50.0, 60.0, 90.0))
PATCHES = ((20, 20), (30, 70), (70, 30))
"""Top left of the 8 px that each candidate's scores hang on."""


def spec(task: str = "detect") -> ModelSpec:
    return ModelSpec("by-hand", "Tests", "", "none", "by-hand", task, "none")


def raw_maps(evidence: Evidence, method: Method, targets: list[Target], *, seed: int = 0, **settings: Any) -> Any:
    return rise.run(evidence, method, targets, Request(**settings), seed=seed).maps


def geometry(height: int, width: int, bars: int = 0) -> Geometry:
    """A picture that lies in the input as it is, under `bars` rows of letterbox at its top and bottom."""
    return Geometry((height - 2 * bars, width), (height, width), (1.0, 1.0), (float(bars), 0.0))


class Patches(Detector):
    """Three candidates of two classes that do not move; each scores as bright as its own patch is."""

    def __init__(self) -> None:
        super().__init__(spec(), nn.Identity(), ("cat", "dog"), "none")

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        tensor = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float().div(255).unsqueeze(0)
        return ModelInput(tensor, geometry(*pixels.shape[:2]))

    def run(self, tensor: torch.Tensor) -> Detections:
        lit = torch.stack([tensor[:, :, y : y + 8, x : x + 8].mean((1, 2, 3)) for y, x in PATCHES], 1)  # (B, 3)
        share = torch.tensor([[0.9, 0.2, 0.5], [0.1, 0.6, 0.5]])
        logits = torch.logit(lit[:, None] * share, 1e-6)  # (B, 2, 3)
        boxes = torch.tensor(BOXES).T[None].expand(len(tensor), 4, 3)
        return Detections(
            (logits[..., None],),
            (boxes[..., None],),
            lambda given: given[0].flatten(2).transpose(1, 2),
            torch.tensor([[(a + c) / 2, (b + d) / 2] for a, b, c, d in BOXES]),
            torch.full((3,), 8.0),
        )


class Linear(Classifier):
    """The first class's probability is a weighted sum of the pixels, which a map can be worked out for."""

    def __init__(self, weights: torch.Tensor) -> None:
        self.weights = weights
        plain = Preprocessing(tuple(weights.shape), weights.shape[0], (0.0,) * 3, (1.0,) * 3)
        super().__init__(spec("classify"), nn.Identity(), ("this", "that"), plain, "none")

    def _answer(self, tensor: torch.Tensor) -> torch.Tensor:
        share = (tensor[:, 0] * self.weights).sum((1, 2))
        return torch.stack((share, 1 - share), 1).log()


def evidence_of(adapter: Any, height: int = 96, width: int = 96, bars: int = 0) -> Evidence:
    """A white picture as that adapter sees it."""
    tensor = torch.ones(1, 3, height, width)
    if bars:
        tensor[..., :bars, :] = tensor[..., height - bars :, :] = GREY
    return Evidence(Resident(adapter, CPU), ModelInput(tensor, geometry(height, width, bars)), ())


def detection(anchor: int, part: Any = "all") -> Target:
    index = 1 if anchor == 1 else 0
    return Target(index, "", (anchor,), part)


def peak(raw: torch.Tensor, size: tuple[int, int]) -> tuple[float, float]:
    """(y, x) in pixels of the input of a map's hottest cell."""
    y, x = divmod(int(raw.argmax()), raw.shape[1])
    return (y + 0.5) * size[0] / raw.shape[0], (x + 0.5) * size[1] / raw.shape[1]


# The masks.


def test_masks_are_half_shown_bilinear_and_the_same_again() -> None:
    masks = Masks.sample(3000, geometry(96, 64))
    assert masks.grids.shape[1:] == (4 + 2, 3 + 2)
    assert masks.cells == (16, 12)
    full = masks.full(0, 3000, CPU)
    assert full.shape == (3000, 96, 64)
    assert 0 <= full.min() <= full.max() <= 1
    assert (full.mean(0) - 0.5).abs().max() < 0.05
    assert torch.equal(Masks.sample(3000, geometry(96, 64)).grids, masks.grids)
    assert not torch.equal(Masks.sample(3000, geometry(96, 64), seed=1).grids, masks.grids)
    grid, (down, across) = masks.grids[7], masks.shifts[7].tolist()
    for y, x in ((0, 0), (13, 50), (95, 63)):
        u, v = (y + 0.5) / 24 + down, (x + 0.5) / (64 / 3) + across
        i, j = int(u), int(v)
        a, b = u - i, v - j
        expected = (1 - a) * ((1 - b) * grid[i, j] + b * grid[i, j + 1]) + a * (
            (1 - b) * grid[i + 1, j] + b * grid[i + 1, j + 1]
        )
        assert float(full[7, y, x]) == pytest.approx(float(expected), abs=1e-5)


def test_the_maps_cells_read_the_masks_at_their_centres() -> None:
    masks = Masks.sample(5, geometry(128, 64, bars=32))
    full, coarse = masks.full(0, 5, CPU), masks.coarse(0, 5)
    assert full.shape[1:] == (64, 64)
    assert coarse.shape[1:] == masks.cells == (32, 16)
    # A cell is 4 px: between its second and its third.
    at = full[:, 20:24, 40:44][:, 1:3, 1:3].mean((1, 2))
    torch.testing.assert_close(coarse[:, (32 + 20) // 4, 40 // 4], at, atol=0.02, rtol=0)


@pytest.mark.parametrize("size", [(640, 1), (1, 640), (3, 3)])
def test_pictures_of_a_pixel_have_masks_too(size: tuple[int, int]) -> None:
    masks = Masks.sample(2, geometry(*size))
    assert masks.full(0, 2, CPU).shape[1:] == size
    assert masks.coarse(0, 2).shape[1:] == masks.cells


# The maps.


def test_each_detections_map_peaks_where_its_score_comes_from() -> None:
    evidence = evidence_of(Patches())
    (maps,) = raw_maps(evidence, METHOD, [detection(i) for i in range(3)], masks=600)
    assert maps.shape == (3, 16, 16)
    for raw, (y, x) in zip(maps, PATCHES, strict=True):
        assert peak(raw, (96, 96)) == pytest.approx((y + 4, x + 4), abs=9)
        assert raw.max() > 0.05
        # Far from it nothing speaks for it.
        assert raw.median().abs() < 0.1 * raw.max()


@pytest.mark.parametrize("part", ["all", "class", "box"])
def test_it_equals_a_plain_loop_over_the_same_masks(part: str) -> None:
    adapter = Patches()
    evidence = evidence_of(adapter)
    targets = [detection(0, part), detection(1, part), Target(0, "cat", (0, 2), part), Target(None, "", (2, 1), part)]
    (maps,) = raw_maps(evidence, METHOD, targets, masks=50)
    masks = Masks.sample(50, evidence.geometry)

    def match(anchor: int, index: int | None, scores: NDArray[Any]) -> float:
        own = evidence.outputs.scores[0, :, anchor].numpy()
        index = int(own.argmax()) if index is None else index
        vector = own if int(own.argmax()) == index else np.eye(2)[index]
        worth = [0.0]
        for j in range(3):
            a, b = BOXES[anchor], BOXES[j]
            w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            both = max(w, 0) * max(h, 0)
            iou = both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
            found = scores[:, j]
            cosine = float(vector @ found / np.linalg.norm(vector) / np.linalg.norm(found))
            if found.max() > rise.FLOOR:
                worth.append({"all": iou * cosine * found.max(), "class": iou * found[index], "box": iou}[part])
        return max(worth)

    for raw, target in zip(maps, targets, strict=True):
        weighted, weights, total = np.zeros(masks.cells), np.zeros(masks.cells), 0.0
        for i in range(50):
            shown, coarse = masks.full(i, i + 1, CPU)[0], masks.coarse(i, i + 1)[0].numpy()
            scores = adapter.run(GREY + (evidence.tensor - GREY) * shown).scores[0].numpy()
            score = float(np.mean([match(anchor, target.index, scores) for anchor in target.anchors]))
            weighted, weights, total = weighted + score * coarse, weights + coarse, total + score
        np.testing.assert_allclose(raw.numpy(), weighted / weights - total / 50, atol=1e-5)


def test_a_linear_models_map_is_what_can_be_worked_out() -> None:
    weights = torch.zeros(64, 64)
    weights[8:16, 40:56], weights[40:48, 16:24] = 1, -0.5
    weights /= 200
    adapter = Linear(weights)
    adapter.module = nn.Identity()
    # Only one direction of contrast is a probability: start from a sum in the middle.
    adapter._answer = lambda tensor: _halves((tensor[:, 0] * weights).sum((1, 2)))  # type: ignore[method-assign]
    adapter.batch = 500  # type: ignore[attr-defined]
    (maps,) = raw_maps(evidence_of(adapter, 64, 64), METHOD, [Target(0, "this")], masks=20000)
    # Two places share a mask's cells as the hat does with itself: by a cubic B-spline of their distance in cells.
    cells = (torch.arange(16) + 0.5) * 4
    apart = ((cells[:, None] - (torch.arange(64) + 0.5)) / 16).abs()
    spline = torch.where(apart < 1, 2 / 3 - apart**2 + apart**3 / 2, (2 - apart).clamp_min(0) ** 3 / 6)
    # Cov(m, m') / E(m) = p (1 - p) / p = 1 / 2.
    expected = 0.5 * (1 - GREY) * spline @ weights @ spline.T
    assert (maps[0] - expected).abs().max() < 0.06 * expected.abs().max()


def _halves(share: torch.Tensor) -> torch.Tensor:
    return torch.stack((0.4 + share, 0.6 - share), 1).log()


def test_a_letterboxs_bars_are_not_picture() -> None:
    adapter = Patches()
    seen: list[torch.Tensor] = []
    run = adapter.run
    adapter.run = lambda tensor: seen.append(tensor) or run(tensor)  # type: ignore[method-assign, func-returns-value]
    evidence = evidence_of(adapter, 96, 96, bars=16)
    (maps,) = raw_maps(evidence, METHOD, [detection(0)], masks=40)
    hidden = torch.cat(seen[1:])
    assert torch.equal(hidden[:, :, :16], torch.full((40, 3, 16, 96), GREY))
    assert hidden[:, :, 16:80].std() > 0.1
    left, top, right, bottom = evidence.geometry.content
    inside = maps.shape[1] * top // 96, -(-maps.shape[1] * bottom // 96)
    assert not maps[0, : inside[0]].any()
    assert not maps[0, inside[1] :].any()
    assert maps[0, inside[0] : inside[1]].any()
    assert (left, right) == (0, 96)


def test_hidden_places_are_grey_however_the_model_wants_its_pixels() -> None:
    class Shifted(Linear):
        def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
            given = super().prepare(pixels, preprocessing)
            return ModelInput(given.tensor * 255 - 7, given.geometry)

    adapter = Shifted(torch.ones(32, 32) / 32**2)
    assert float(rise.find_grey(evidence_of(adapter, 32, 32))[0, 0, 0, 0]) == pytest.approx(107)


# The same again, bounded, and stoppable.


def test_the_same_bit_for_bit_in_any_batch_and_held_with_the_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_MASKS", "30")
    adapter = Patches()
    targets = [detection(0), detection(1)]
    evidence = evidence_of(adapter)
    (first,) = raw_maps(evidence, METHOD, targets)
    (again,) = raw_maps(evidence_of(adapter), METHOD, targets)
    assert torch.equal(first, again)
    adapter.batch = 7  # type: ignore[attr-defined]
    (other,) = raw_maps(evidence_of(adapter), METHOD, targets)
    torch.testing.assert_close(other, first, atol=1e-6, rtol=0)
    (more,) = raw_maps(evidence, METHOD, targets, masks=60)
    assert not torch.equal(more, first)
    adapter.run = None  # type: ignore[assignment, method-assign]
    (held,) = raw_maps(evidence, METHOD, [targets[1], targets[0]])
    assert torch.equal(held, first.flip(0))


def test_all_targets_cost_one_budget() -> None:
    adapter = Patches()
    passes = []
    run = adapter.run
    adapter.run = lambda tensor: passes.append(len(tensor)) or run(tensor)  # type: ignore[method-assign, func-returns-value]
    evidence = evidence_of(adapter)
    passes.clear()
    raw_maps(evidence, METHOD, [detection(i) for i in range(3)], masks=50)
    assert sum(passes) == 50


def test_what_is_there_so_far_becomes_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rise, "SECONDS", 0)
    heard: list[RawMaps] = []
    said: list[tuple[float, str]] = []
    (final,) = raw_maps(
        evidence_of(Patches()),
        METHOD,
        [detection(0), detection(1)],
        masks=400,
        partial=heard.append,
        progress=lambda share, words: said.append((share, words)),
    )
    note = "This map is not finished: {} of 400 masks so far."
    assert [raw.notes for raw in heard] == [(note.format(done),) for done in range(4, 400, 4)]
    off = [float((raw.maps[0] - final).norm() / final.norm()) for raw in heard]
    assert off[10] > off[50] > off[90] > off[-1] > 0
    assert off[90] < 0.3
    assert off[-1] < 0.05
    assert all(0 <= share <= 1 for share, _ in said)
    assert [share for share, _ in said] == sorted(share for share, _ in said)
    assert said[1][1] == "D-RISE, mask 4 of 400"


def test_a_stop_is_heard_within_one_batch_and_leaves_nothing() -> None:
    cancel, adapter = threading.Event(), Patches()
    evidence = evidence_of(adapter)
    passes, run = [], adapter.run

    def counted(tensor: torch.Tensor) -> Detections:
        passes.append(len(tensor))
        if len(passes) == 3:
            cancel.set()
        return run(tensor)

    adapter.run = counted  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        raw_maps(evidence, METHOD, [detection(0)], cancel=cancel)
    assert len(passes) == 3
    assert evidence.raws == {}


def test_others_get_at_the_model_between_two_batches() -> None:
    adapter = Patches()
    evidence = evidence_of(adapter)
    started, run = threading.Event(), adapter.run

    def slow(tensor: torch.Tensor) -> Detections:
        started.set()
        time.sleep(0.01)
        return run(tensor)

    adapter.run = slow  # type: ignore[method-assign]
    cancel = threading.Event()

    def explain() -> None:
        with pytest.raises(Cancelled):
            raw_maps(evidence, METHOD, [detection(0)], masks=4000, cancel=cancel)

    thread = threading.Thread(target=explain)
    thread.start()
    started.wait()
    waits = []
    for _ in range(5):
        begun = time.perf_counter()
        with evidence.resident.lock:
            waits.append(time.perf_counter() - begun)
        time.sleep(0.02)
    cancel.set()
    thread.join()
    assert max(waits) < 1


# What is asked for, and what cannot be.


def test_a_box_alone_does_not_ask_how_sure_the_model_is() -> None:
    evidence = evidence_of(Patches())
    parts = [detection(0, part) for part in ("box", "class", "all")]
    (maps,) = raw_maps(evidence, METHOD, parts, masks=200)
    # Above the floor the box is there whatever its score, so nothing it could hang on is hidden often.
    assert maps[0].abs().max() < 0.2 * maps[1].max()
    assert maps[1].max() > 0.05


@pytest.mark.parametrize("part", ["contrast", "left", "mask"])
def test_other_parts_are_refused_in_one_sentence(part: Any) -> None:
    with pytest.raises(ModelProblem, match=f"Masks cannot explain the {part} of by-hand: they explain class, box, all"):
        raw_maps(evidence_of(Patches()), METHOD, [detection(0, part)])
    with pytest.raises(ModelProblem, match="they explain its classes"):
        classifier = Linear(torch.ones(32, 32) / 32**2)
        raw_maps(evidence_of(classifier, 32, 32), METHOD, [Target(0, "this", (), "box")])


def test_a_class_without_boxes_is_its_strongest_candidate() -> None:
    (maps,) = raw_maps(evidence_of(Patches()), METHOD, [Target(1, "dog"), Target(1, "dog", (1,))], masks=20)
    assert torch.equal(maps[0], maps[1])


# Real models.


def test_a_classifier_is_explained_by_the_same_masks(bus: Path) -> None:
    from sightglass.explain.picture.image import Image
    from sightglass.models.catalog import spec as find
    from sightglass.models.load import load

    adapter = load(find("efficientnet-lite0"))
    evidence = Evidence(Resident(adapter, CPU), adapter.prepare(Image.open(bus).pixels, "squash"), ())
    (best,) = adapter.decode(evidence.outputs, evidence.geometry, top_k=1, confidence=0, iou=0)
    (maps,) = raw_maps(evidence, METHOD, [Target(best.index, best.label)], masks=60)
    assert maps.shape == (1, 32, 32)
    # The bus is in the upper middle, the road below.
    assert maps[0, 5:20, 5:27].mean() > maps[0, 26:].mean()
