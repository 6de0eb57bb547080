"""Weight-randomisation test (sanity check) of a map.

After Adebayo et al. 2018, https://arxiv.org/abs/1810.03292, with all weights random.
"""

from __future__ import annotations

import copy
import logging
import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from sightglass.common.errors import Cancelled, ModelProblem, Problem
from sightglass.common.settings import MIB
from sightglass.common.work.progress import Progress, check
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.evidence.evidence import Evidence, run_again
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.maps.boxes import box_on_content
from sightglass.explain.maps.statistics import coarse, iou, rank_correlation, rank_correlations, rescale
from sightglass.explain.phrases import percent, plural, signed
from sightglass.explain.rendering.style import Values
from sightglass.explain.trust import SHOWS, Mark, Verdict, controls
from sightglass.explain.trust.controls import chance_level, outline, outline_chance
from sightglass.explain.trust.support import map_again, tested_map
from sightglass.models.adapter import Adapter, freeze
from sightglass.models.families.custom.guard import ModuleGuard
from sightglass.models.families.custom.state import has_memory
from sightglass.models.families.keras.network import Net
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.result import Result

LOGGER = logging.getLogger(__name__)


def copy_loaded(loaded: LoadedModel) -> LoadedModel:
    """Return a copy with weights of its own, and not folded; raise ModelProblem for a model that cannot be copied."""
    adapter = copy.copy(loaded.adapter)
    module = loaded.adapter.module
    try:
        with loaded.lock:
            adapter.module = freeze(module.apart()) if isinstance(module, Net) else copy.deepcopy(module)
    except (Problem, Cancelled):
        raise
    # A caller's module may hold anything: a lock, an open file, a tensor with a history.
    except Exception as error:
        LOGGER.info("%s cannot be copied", adapter.spec.id, exc_info=True)
        raise _not_copied(adapter) from error
    copied, original = (
        {each.data_ptr() for each in part.parameters() if each.numel() and has_memory(each)}
        for part in (adapter.module, module)
    )
    if copied & original:
        raise _not_copied(adapter)
    if loaded.guard is not None:
        adapter.guard = ModuleGuard(adapter.module)
    other = LoadedModel(adapter, loaded.device)
    vars(other)["folded"] = None
    return other


def _not_copied(adapter: Adapter) -> ModelProblem:
    return ModelProblem(
        f"This test redraws the weights of a copy, and {adapter.spec.id} cannot be copied: choose another model."
    )


def parameters_of(loaded: LoadedModel, tensor: Tensor) -> list[nn.Parameter]:
    """Return all parameters, those of the last executed module first.

    An uncalled module, whose weights another reads, counts as its parent.
    """
    module = loaded.adapter.module
    started: list[str] = []
    with ExitStack() as hooks, torch.no_grad(), loaded.lock:
        for path, part in module.named_modules():
            hooks.enter_context(part.register_forward_pre_hook(lambda *_, path=path: started.append(path)))
        loaded.adapter.run(tensor)
    first_calls = {path: place for place, path in reversed([*enumerate(started)])}

    def first_call(name: str) -> int:
        while name and name not in first_calls:
            name = name.rpartition(".")[0]
        return first_calls.get(name, 0)

    ordered = [(first_call(name), each) for name, each in module.named_parameters() if each.is_floating_point()]
    return [each for _, each in sorted(ordered, key=lambda item: -item[0])]


def redrawer(parameters: Sequence[nn.Parameter]) -> Callable[[int], None]:
    """Return a function that redraws the parameters by a seed, with the mean and deviation that each has now.

    A second draw from those of the first would let small parameters drift.
    """
    values = [each.detach().float() for each in parameters]
    moments = [(each.mean(), each.std(unbiased=False)) for each in values]

    @torch.no_grad()
    def redraw(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for each, (mean, deviation) in zip(parameters, moments, strict=True):
            each.copy_(torch.randn(each.shape, generator=generator).to(each.device).mul_(deviation).add_(mean))

    return redraw


NAMED = 0.6
"""The least rank correlation with a reference that is named: a map that is less like the middle of the picture does not
show it, even where random weights keep the map."""
DRAWS = (3, 8)
"""The least and the most sets of weights for the last stage. Of 20 maps of EfficientNet-Lite 0 by GradCAM, whose single
draws scatter by 0.26, up to 6 draws decide 84 %, 7 90 % and 8 92 %, after 4.5 on average; 0.1 % of these verdicts are
not those of 24 draws. With YOLO11n 8 decide 96 % after 3.8. Beginning with 4 decides no more, half a draw later."""
STUDENT = {2: 6.314, 3: 2.920, 4: 2.353, 5: 2.132, 6: 2.015, 7: 1.943, 8: 1.895}
"""The 95 % quantile of Student's t by the number of draws, for an interval of 90 % to both sides."""
_CACHE: ByteCache[Scramble] = ByteCache(8 * MIB, lambda scramble: scramble.map.nbytes)


@dataclass(frozen=True, eq=False)
class Scramble:
    """The similarity of one map to maps of the same model with random weights."""

    map: Values
    """With the weights of the median similarity: float32 (h, w) in 0..1 over the content of the model's input, at most
    320 a side; 0 where all maps are empty."""
    final: tuple[float, ...]
    """The similarity to the true map, for each set of weights whose map is not empty: the rank correlation of what is
    shown, where negative evidence is 0; of a box the overlap (IoU) of the two outlines at half of the scale in it."""
    threshold: float
    """The similarity to the true map that unrelated maps stay below: `controls.chance_level`, `outline_chance`."""
    known: dict[Verdict, float]
    """The rank correlations of the random weights' map with `edges`, `centre` and `box`, the mean over the draws."""
    empty: int = 0
    """Sets of weights whose map is empty: such a map is neither like the true one nor unlike it."""
    keeps_box: bool | None = None
    """Whether the maps of random weights lie in the box; None where the whole picture is compared."""
    inside: float | None = None
    """Share of the heat of `map` inside the box; None without one."""

    @property
    def draws(self) -> int:
        """How many sets of weights were drawn."""
        return len(self.final) + self.empty

    def describe_draws(self) -> str:
        """Describe all draws: `7 random models: 2 empty maps, the others −0.46 to 0.51.`"""
        empty = f"{plural(self.empty, 'empty map')}{', the others ' if self.final else ''}" if self.empty else ""
        ends = " to ".join(map(self._shown, (min(self.final), max(self.final)))) if self.final else ""
        return f"{self.draws} random models: {empty}{ends}."

    @property
    def similarity_text(self) -> str:
        """The similarity of `map` as it is shown over it: `+0.12`, of a box `11 %`, or `empty`."""
        return self._shown(statistics.median_low(self.final)) if self.final else "empty"

    def _shown(self, value: float) -> str:
        return signed(value) if self.keeps_box is None else percent(value)

    @property
    def similarity(self) -> float:
        """The mean similarity to the true map over the draws; 0 without any."""
        return float(np.mean(self.final)) if self.final else 0.0

    @property
    def verdict(self) -> Verdict:
        """Whether the scrambled model's map is as different as unrelated maps.

        If not, the verdict is the closest reference that the maps are much like. `unclear`: the interval includes the
        threshold, or most maps of random weights are empty.
        """
        if self.empty > len(self.final) or not is_clear(self.final, self.threshold):
            return "unclear"
        if self.similarity <= self.threshold:
            return "box" if self.keeps_box else "depends"
        most = max(self.known, key=lambda name: self.known[name])
        return most if self.known[most] > max(self.threshold, NAMED) else "survives"

    @property
    def mark(self) -> Mark:
        """Whether the map depends on the model."""
        if self.verdict == "unclear":
            return "cannot be told"
        return "yes" if self.verdict in ("depends", "box") else "no"

    @property
    def sentence(self) -> str:
        """The verdict with the numbers that it follows from."""
        if self.empty > len(self.final):
            reason = f"With random weights {self.empty} of {self.draws} maps are empty."
            return f"{reason} Whether this map depends on the model cannot be told."
        boxed = self.keeps_box is not None
        low, high = (self._shown(min(max(end, -1.0 + boxed), 1.0)) for end in interval_of(self.final))
        numbers = (
            f"{'the outlines overlap by' if boxed else 'similarity'} {self._shown(self.similarity)}, from {low} to "
            f"{high}; unrelated maps reach {self._shown(self.threshold)}."
        )
        if self.verdict == "unclear":
            return (
                "Maps by random weights are neither clearly like this one nor clearly another: after "
                f"{self.draws} tries it cannot be told whether it depends on the model "
                f"({numbers.rstrip('.')})."
            )
        if self.verdict == "depends":
            return f"With random weights the map changes completely: {numbers}"
        if self.verdict == "box":
            return f"Random weights keep the box but move the hot spots: {numbers}"
        shows = "does not show" if self.verdict == "survives" else f"shows {SHOWS[self.verdict]}, not"
        return f"Random weights give a similar map: {numbers} It {shows} what the model learnt."


@own_modes()
def scramble(explanation: Result, index: int | str = 0, *, progress: Progress = lambda *_: None) -> Scramble:
    """Redraw all weights 3 to 8 times, and recompute the map each time.

    Stops when the interval of the mean similarity excludes the threshold. Works on a copy of the model.
    Cached for the same weights, picture, method, layers and target. Raises ModelProblem for an empty map and a model
    without gradients; Cancelled between two passes.
    """
    heatmap, position = tested_map(explanation, index, "there is nothing to compare it with")
    if not explanation.evidence.loaded.gradients:
        raise ModelProblem(f"{explanation.model.id} only answers: its weights cannot be scrambled here.")
    draw = partial(_draw_until_clear, explanation, heatmap, position, progress)
    return _CACHE.get_or_make(explanation.map_key(index), draw)


def interval_of(draws: Sequence[float]) -> tuple[float, float]:
    """Return the interval of 90 % of the mean of 2 to 8 draws, by Student's t; of fewer (-1, 1)."""
    if len(draws) < 2:
        return -1.0, 1.0
    middle, half = float(np.mean(draws)), STUDENT[len(draws)] * float(np.std(draws, ddof=1)) / len(draws) ** 0.5
    return middle - half, middle + half


def is_clear(draws: Sequence[float], threshold: float) -> bool:
    """Return whether the interval of the draws' mean does not include the threshold."""
    low, high = interval_of(draws)
    return not low <= threshold < high


class _Comparison:
    """How maps of random weights are compared with the true one.

    Outlines are compared where the map's reaches into its box, else whole maps.
    """

    def __init__(self, heatmap: Heatmap, sha256: str, inside: Values | None) -> None:
        """Take a map, its picture's sha256, and each cell's share in its box."""
        self._true = heatmap.coarse
        self.outlined: NDArray[np.bool_] | None = None
        self.chance = chance_level(heatmap, sha256)
        """The similarity that unrelated whole maps stay below."""
        self.threshold = self.chance
        """The same of what is compared."""
        box = None if inside is None else inside > 0.5
        if box is not None and (outline(self._true) & box).any():
            self.outlined = box
            self.threshold = outline_chance(heatmap, box, sha256)

    def similarity(self, values: Values) -> float:
        """Return the similarity of a map to the true one."""
        if self.outlined is None:
            return rank_correlation(self._true, values)
        return iou(outline(self._true) & self.outlined, outline(values) & self.outlined)


def _draw_until_clear(explanation: Result, heatmap: Heatmap, index: int, progress: Progress) -> Scramble:
    """Compare a map with those of random weights, until their similarity is clear."""
    box = _mask_boxes(explanation, heatmap, index)
    inside: Values | None = None
    if box is not None:
        inside = np.asarray(cv2.resize(box, heatmap.coarse.shape[::-1], interpolation=cv2.INTER_AREA))
    comparison = _Comparison(heatmap, explanation.image.sha256, inside)
    filled: list[Values] = []
    similarities: list[float] = []
    # An empty map is neither like the true one nor unlike it.
    empty: list[Values] = []
    for values in _redraw_maps(explanation, heatmap, progress):
        if values.any():
            filled.append(values)
            similarities.append(comparison.similarity(values))
        else:
            empty.append(values)
        # After three empty maps further draws are empty too.
        decided = not filled or is_clear(similarities, comparison.threshold)
        if decided and len(filled) + len(empty) >= DRAWS[0]:
            break
    known = _correlate_references(explanation, heatmap, box, filled or empty)
    in_box = known.pop("box", 0.0)
    middle = filled[similarities.index(statistics.median_low(similarities))] if filled else empty[0]
    share: float | None = None
    if filled and inside is not None:
        share = float((middle * inside).sum() / middle.sum())
    return Scramble(
        middle,
        tuple(similarities),
        comparison.threshold,
        known,
        len(empty),
        keeps_box=in_box > comparison.chance if comparison.outlined is not None else None,
        inside=share,
    )


def _mask_boxes(explanation: Result, heatmap: Heatmap, index: int) -> Values | None:
    """Return 1 in the boxes of predictions, over the map's content; None: no box."""
    predictions = explanation.own(index)
    if not predictions:
        return None
    mask = np.zeros(heatmap.content.shape, np.float32)
    for prediction in predictions:
        assert prediction.box is not None
        mask[box_on_content(explanation.evidence.geometry, prediction.box)] = 1
    return mask


def _drawer(evidence: Evidence) -> Callable[[int], LoadedModel]:
    """Return a function from a seed to the model with random weights."""
    draw_apart = evidence.loaded.redrawer()
    if draw_apart is not None:
        return draw_apart
    other = copy_loaded(evidence.loaded)
    redraw = redrawer(parameters_of(other, evidence.tensor))

    def draw(seed: int) -> LoadedModel:
        redraw(seed)
        return other

    return draw


def _redraw_maps(explanation: Result, heatmap: Heatmap, progress: Progress) -> Iterator[Values]:
    """Yield the map for each set of random weights, on the grid of `Heatmap.coarse`; 0 where it is not finite."""
    evidence = explanation.evidence
    draw = _drawer(evidence)
    for number in range(DRAWS[1]):
        check()
        progress(number / DRAWS[1], f"{number + 1} of at most {DRAWS[1]} draws")
        other = draw(controls.seed_of(evidence.loaded.adapter.weights_sha256, number))
        if not number and evidence.loaded.guard is not None:
            with evidence.loaded.lock, other.lock, torch.no_grad():
                answer = other.adapter.answer_row(other.adapter.run(evidence.tensor))
            # The copy answers with the weights of the caller's module itself.
            if torch.equal(answer, other.adapter.answer_row(evidence.outputs)):
                raise _not_copied(other.adapter)
        model_input = ModelInput(evidence.tensor, evidence.geometry)
        with run_again("with random weights"):
            redrawn = Evidence(other, model_input, evidence.layers, placed=True)
        yield coarse(np.nan_to_num(map_again(explanation, heatmap, redrawn, heatmap.target)))


def _correlate_references(
    explanation: Result, heatmap: Heatmap, box: Values | None, maps: Sequence[Values]
) -> dict[Verdict, float]:
    """Return the mean rank correlation of maps with each map that no model made."""
    left, top, right, bottom = explanation.evidence.geometry.content
    references: dict[Verdict, Values] = {
        "edges": controls.edges(explanation.evidence.tensor[0, :, top:bottom, left:right].float().cpu().numpy()),
        "centre": controls.centre(heatmap.content.shape),
    }
    if box is not None:
        references["box"] = cv2.GaussianBlur(box, (0, 0), max(controls.SIGMA * max(box.shape), 1.0))
    return {key: float(np.mean(rank_correlations(rescale(coarse(values)), maps))) for key, values in references.items()}
