"""Masks and windows: the map is where the answer hangs on, equals a plain loop, and is bounded and stoppable."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.methods import METHODS, rise
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.explain.methods.rise import draw_masks, lay_windows
from sightglass.models.adapter import Target
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.adapters.detector import Detections, Detector
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

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
        logits = torch.logit(lit[:, None] * torch.tensor([[0.9, 0.2, 0.5], [0.1, 0.6, 0.5]]), 1e-6)  # (B, 2, 3)
        boxes = torch.tensor(BOXES).T[None].expand(len(tensor), 4, 3)
        return Detections(
            (logits[..., None],),
            (boxes[..., None],),
            lambda given: given[0].flatten(2).transpose(1, 2),
            torch.tensor([[(a + c) / 2, (b + d) / 2] for a, b, c, d in BOXES]),
            torch.full((3,), 8.0),
        )


def evidence_of(adapter: Any, height: int = 96, width: int = 96, bars: int = 0) -> Evidence:
    """A white picture as that adapter sees it."""
    tensor = torch.ones(1, 3, height, width)
    if bars:
        tensor[..., :bars, :] = tensor[..., height - bars :, :] = GREY
    return Evidence(LoadedModel(adapter, CPU), ModelInput(tensor, geometry(height, width, bars)), ())


def detection(anchor: int, part: Any = "all") -> Target:
    return Target(1 if anchor == 1 else 0, "", (anchor,), part)


def test_masks_are_half_shown_bilinear_and_the_same_again() -> None:
    masks, drawn = draw_masks(3000, geometry(96, 64)), torch.Generator().manual_seed(0)
    assert masks.cells == (16, 12)
    full = masks.full(0, 3000, CPU)
    assert full.shape == (3000, 96, 64) and 0 <= full.min() <= full.max() <= 1
    assert (full.mean(0) - 0.5).abs().max() < 0.05
    grid = (torch.rand(3000, 4 + 2, 3 + 2, generator=drawn) < 0.5).float()[7]
    down, across = torch.rand(3000, 2, generator=drawn)[7].tolist()
    for y, x in ((0, 0), (13, 50), (95, 63)):
        u, v = (y + 0.5) / 24 + down, (x + 0.5) / (64 / 3) + across
        i, j = int(u), int(v)
        a, b = u - i, v - j
        expected = (1 - a) * ((1 - b) * grid[i, j] + b * grid[i, j + 1]) + a * (
            (1 - b) * grid[i + 1, j] + b * grid[i + 1, j + 1]
        )
        assert float(full[7, y, x]) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("part", ["all", "class", "box"])
def test_it_equals_a_plain_loop_over_the_same_masks(part: str) -> None:
    adapter = Patches()
    evidence = evidence_of(adapter)
    targets = [detection(0, part), detection(1, part), Target(0, "cat", (0, 2), part), Target(None, "", (2, 1), part)]
    (maps,) = raw_maps(evidence, METHOD, targets, masks=50)
    masks = draw_masks(50, evidence.geometry)

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
            column = scores[:, j]
            cosine = float(vector @ column / np.linalg.norm(vector) / np.linalg.norm(column))
            if column.max() > rise.FLOOR:
                worth.append({"all": iou * cosine * column.max(), "class": iou * column[index], "box": iou}[part])
        return max(worth)

    for raw, target in zip(maps, targets, strict=True):
        weighted, weights, total = np.zeros(masks.cells), np.zeros(masks.cells), 0.0
        for i in range(50):
            full, coarse = masks.full(i, i + 1, CPU)[0], masks.coarse(i, i + 1)[0].numpy()
            scores = adapter.run(GREY + (evidence.tensor - GREY) * full).scores[0].numpy()
            score = float(np.mean([match(anchor, target.index, scores) for anchor in target.anchors]))
            weighted, weights, total = weighted + score * coarse, weights + coarse, total + score
        np.testing.assert_allclose(raw.numpy(), weighted / weights - total / 50, atol=1e-5)


def test_a_letterboxs_bars_are_not_picture() -> None:
    adapter = Patches()
    seen: list[torch.Tensor] = []
    run = adapter.run
    adapter.run = lambda tensor: seen.append(tensor) or run(tensor)  # type: ignore[method-assign, func-returns-value]
    (maps,) = raw_maps(evidence_of(adapter, 96, 96, bars=16), METHOD, [detection(0)], masks=40)
    hidden = torch.cat(seen[1:])
    assert torch.equal(hidden[:, :, :16], torch.full((40, 3, 16, 96), GREY))
    assert hidden[:, :, 16:80].std() > 0.1
    # Of 16 rows of cells a sixth at either end is bar.
    assert not maps[0, :2].any() and not maps[0, -2:].any() and maps[0].any()


def test_hidden_places_are_grey_in_input_units(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Patches.prepare
    monkeypatch.setattr(
        Patches, "prepare", lambda *given: replace(plain(*given), tensor=plain(*given).tensor * 255 - 7)
    )
    assert float(rise.find_grey(evidence_of(Patches()))[0, 0, 0, 0]) == pytest.approx(107)


def test_masks_same_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_is_there_so_far_becomes_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rise, "SECONDS", 0)
    heard: list[RawMaps] = []
    said: list[tuple[float, str]] = []
    reports = {"partial": heard.append, "progress": lambda share, words: said.append((share, words))}
    (final,) = raw_maps(evidence_of(Patches()), METHOD, [detection(0), detection(1)], masks=400, **reports)
    note = "This map is not finished: {} of 400 masks so far."
    assert [raw.notes for raw in heard] == [(note.format(done),) for done in range(4, 400, 4)]
    off = [float((raw.maps[0] - final).norm() / final.norm()) for raw in heard]
    assert off[10] > off[50] > off[90] > off[-1] > 0 and off[-1] < 0.05
    shares = [share for share, _ in said]
    assert shares == sorted(shares) and 0 <= shares[0] <= shares[-1] <= 1
    assert said[1][1] == "D-RISE, mask 4 of 400"


def test_other_parts_are_refused_in_one_sentence() -> None:
    with pytest.raises(ModelProblem, match="Masks cannot explain the mask of by-hand: they explain class, box, all"):
        raw_maps(evidence_of(Patches()), METHOD, [detection(0, "mask")])
    with pytest.raises(ModelProblem, match="they explain its classes"):
        raw_maps(evidence((0, 0, 64, 64)), METHOD, [Target(0, "bright", (), "box")])


class Bright(nn.Module):
    """How bright one patch of the picture is, against a constant."""

    def __init__(self, box: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.box = box
        self.passes: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes.append(len(x))
        left, top, right, bottom = self.box
        bright = x[:, :, top:bottom, left:right].mean((1, 2, 3))
        return torch.stack((8 * bright, torch.full_like(bright, 4.0)), 1)


def evidence(box: tuple[int, int, int, int], size: tuple[int, int] = (64, 64), way: str = "squash") -> Evidence:
    numbers = Preprocessing(size, min(size), (0.0,) * 3, (1.0,) * 3)
    adapter = Classifier(spec("classify"), Bright(box), ["bright", "not"], numbers, "")
    loaded = LoadedModel(adapter, torch.device("cpu"))
    loaded.__dict__["survey"] = None
    return Evidence(loaded, adapter.prepare(np.full((*size, 3), 255, np.uint8), way), ())


def occluded(given: Evidence, **options: Any) -> torch.Tensor:
    (maps,) = METHODS["occlusion"].run(given, [Target(0, "bright"), Target(1, "not")], Request(**options)).maps
    return maps


@pytest.mark.parametrize("box", [(8, 8, 24, 24), (40, 24, 56, 40), (0, 48, 16, 64)])
def test_the_patch_that_decides_is_the_hottest_place(box: tuple[int, int, int, int]) -> None:
    maps = occluded(evidence(box))
    assert maps.shape == (2, 28, 28)
    row, column = divmod(int(maps[0].argmax()), 28)
    left, top, right, bottom = (side * 28 / 64 for side in box)
    assert left - 1 <= column <= right and top - 1 <= row <= bottom
    # What speaks for one class speaks against the only other one, and what is nowhere near does neither.
    torch.testing.assert_close(maps[1], -maps[0], atol=1e-6, rtol=0)
    far = maps[0, -4:, -4:] if box[0] == 8 else maps[0, :4, -1:] if box[0] == 0 else maps[0, :4, :4]
    assert float(far.abs().max()) < 1e-6


def test_a_raw_value_is_the_fall_of_the_score() -> None:
    """With one window over a patch that fills the picture: the score of the whole minus that of the grey."""
    maps = occluded(evidence((0, 0, 64, 64)), masks=1)
    whole, grey = (torch.tensor([8 * light, 4.0]).softmax(0)[0] for light in (1.0, 114 / 255))
    torch.testing.assert_close(maps[0], (whole - grey).expand(2, 2), atol=1e-6, rtol=0)


def test_every_place_of_the_picture_is_hidden_and_no_bar_is() -> None:
    # 32 rows of picture in the middle of 64.
    windows = lay_windows(98, Geometry((32, 64), (64, 64), (1.0, 1.0), (16.0, 0.0)))
    assert windows.resolution == (2 * 7, 2 * 14)
    shown = windows.full(0, 98, torch.device("cpu"))
    assert shown.shape == (98, 32, 64)
    hidden = (1 - shown).sum(0)
    assert hidden.min() >= 1 and hidden.max() == 4
    assert occluded(evidence((0, 0, 64, 64), (64, 64), "letterbox"), masks=98).isfinite().all()
