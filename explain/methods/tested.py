"""Tested: several maps of a picture, each tested by covering and by keeping alone what it shows.

Notation: x is the model's input, c its mean colour, x' its blurred picture, f a target's `lead`; of a box it is the
score times how well the box still lies there, and of its other parts the candidate's own number. The maps k are those
of `find_candidates`, each with 1 as its maximum.

    for each k and q in (2 %, 12 %), m the hottest q of k smoothed:
        score[k] += (f(c with m from x) - f(x with m from c)) / |f(x) - f(c)| / 2, both clipped to between f(c) and f(x)
    mix = sum over k of softmax(score / 0.1)[k] * k
    fine = mix * (0.1 + edges); the edges are Sharp's, and without them it is the mix; both with 1 as their maximum
    places p: 5 peaks of fine, then each map's own, up to 10, discs that overlap little
        cost[p] = relu(f(x) - f(x with the disc p from x'))
        near[p] = exp(-d^2 / 2 r^2) of the distance d from p and the radius r of a disc
    sure = the largest cost / (0.3 * |f(x) - f(c)|), at most 1
    tested = sure * max over p of (near[p] * fine, scaled to cost[p] / the largest cost) + max(1 - sure, 0.15) * mix

Where no place costs anything it is the mix. Where f(c) is f(x), as of a picture of one colour, no test can tell
anything: all maps have the same share of the mix. What the tests of each map found is kept: `Candidate`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sightglass.explain.evidence.determinism import exact
from sightglass.explain.evidence.evidence import Evidence, in_batches
from sightglass.explain.methods.choice import NOTHING, SHARES, UNTOLD, is_told, name_quantity
from sightglass.explain.methods.method import Candidate, Method, RawMaps, Request
from sightglass.explain.methods.pixel_gradients import at_pixels
from sightglass.explain.methods.rise import PARTS, scorer
from sightglass.explain.methods.scalars import Passes, Scalars, most_pictures, pictures_in_a_pass
from sightglass.explain.methods.sharp import EDGES, LEFT, SHARP, STEPS, blurred_input, fill, lead, scaled, smooth
from sightglass.explain.phrases import listing
from sightglass.explain.tasks import task_of
from sightglass.models.adapter import Adapter, FunctionTarget, Target
from sightglass.models.adapters.detector import Detections
from sightglass.models.geometry import Geometry

FINE = 0.01
"""Standard deviation by which a candidate is smoothed before, as a share of the picture's longer side."""
DIGITS = 4
"""Digits of a candidate by which its hottest shares are found."""
TEMPERATURE = 0.1
"""The smaller, the more of the mix is the best candidate's."""
MIX_PEAKS = 5
"""Places of the mix that are covered."""
PLACES = 10
"""Places that are covered in all, at most."""
RADIUS = 0.06
"""Radius of a place, as a share of the picture's longer side."""
APART = 0.7
"""Least distance of two places, in radii."""
REST = 0.15
"""What the mix adds to the places, at least."""
DECISIVE = 0.3
"""Share of the answer that a place costs where the places alone say what is hottest; below it the mix says more."""
FAINT = 0.001
"""What is added to the mix near a place, so that each place has a peak."""
ROUNDING = 1e-5
"""Least difference of an answer from that to the mean colour, as a share of the larger one: less is rounding."""
SMALL = 96
"""Most cells along a side of a kept candidate."""
EDGE_MAP = "Integrated Gradients from a blurred picture"
"""Name of the candidate of pixels, by which the others' mix is made finer."""
TESTED = "tested"
"""Name of the raw maps in an Evidence, and of what else was found."""
PLACED = "tested/places"
"""Name of the number of places."""
CANDIDATES = 6
"""Maps that are tested, at most."""
MOST_COVERS = 2 + 2 * len(SHARES) * CANDIDATES + PLACES
"""Pictures that are tried for one target, at most."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Compute the targets' tested maps.

    Raises Cancelled within one batch of a stop.
    """
    missing = evidence.missing(TESTED, targets)
    if missing:
        report = Passes(request, method.name, STEPS + len(missing) * MOST_COVERS)
        fill(evidence, missing, report)
        by_target = {target: find_candidates(evidence, target) for target in missing}
        with evidence.loaded.workshop(()) as adapter:
            for target, maps in by_target.items():
                test = _Test(evidence, target, Answers(evidence, adapter, target, report))
                evidence.raws[TESTED, target] = [test.run(maps)]
                evidence.found[TESTED, target] = test.candidates
                evidence.found[PLACED, target] = len(test.places)
    tests = tuple(candidates(evidence, target) for target in targets)
    return RawMaps(evidence.stacked(TESTED, targets), ("input",), _describe_all(evidence, targets), tests)


def _describe_all(evidence: Evidence, targets: Sequence[Target]) -> tuple[str, ...]:
    """Say how the targets' maps were made, and of which nothing can be told."""
    tested_targets = [target for target in targets if candidates(evidence, target)]
    if not tested_targets:
        return (f"Tested: {NOTHING}",)
    told: list[Target] = []
    untold: list[Target] = []
    for target in tested_targets:
        (told if is_told(candidates(evidence, target)) else untold).append(target)
    if not told:
        return (f"Tested: {UNTOLD}.",)
    maps = max(len(candidates(evidence, target)) for target in told)
    places = max(evidence.found[PLACED, target] for target in told)
    note = describe(maps, places, evidence.loaded.adapter)
    if not untold:
        return (note,)
    return (note, f"Tested, of {listing([target.label for target in untold])}: {UNTOLD}.")


def candidates(evidence: Evidence, target: Target) -> tuple[Candidate, ...]:
    """Return the maps that a target's map was made of, and their tests."""
    found: tuple[Candidate, ...] = evidence.found[TESTED, target]
    return found


def describe(maps: int, places: int, adapter: Adapter) -> str:
    """Say how a map was made, and what its hottest places are."""
    lost = name_quantity(task_of(adapter))
    were = "map of this picture was" if maps == 1 else "maps of this picture were each"
    they = "it shows" if maps == 1 else "they show"
    hottest = "place was covered" if places == 1 else "places were covered one by one"
    return (
        f"Tested: {NUMBERS[maps]} {were} tested by covering and by keeping alone what {they}, then its "
        f"{NUMBERS[places]} hottest {hottest}: what cost the answer most of its {lost} is raised."
    )


def find_candidates(evidence: Evidence, target: Target) -> dict[str, Tensor]:
    """Return the maps to test by name, those of 0 alone left out.

    They are (height, width) over the input, with 1 as their maximum.
    """
    adapter = evidence.loaded.adapter
    cams = {"GradCAM": ("gradcam", target), "LayerCAM": ("layercam", target)}
    if target.part == "class" and "contrast" in adapter.parts and not isinstance(target, FunctionTarget):
        rival = replace(target, part="contrast")
        cams |= {
            "LayerCAM, contrast": ("layercam", rival),
            "EigenGradCAM, contrast": ("eigengradcam", rival),
        }
    else:
        cams["EigenGradCAM"] = ("eigengradcam", target)
    maps = {}
    if evidence.layers:
        maps = {name: at_pixels(evidence, method, [of])[0] for name, (method, of) in cams.items()}
        maps["Sharp"] = evidence.raws[SHARP, target][0]
    maps[EDGE_MAP] = evidence.raws[EDGES, target][0]
    units = {name: scaled(values[None], evidence.geometry)[0] for name, values in maps.items()}
    return {name: values for name, values in units.items() if bool(values.max() > 0)}


class Answers:
    """A model's number for a target on changed pictures."""

    def __init__(self, evidence: Evidence, adapter: Adapter, target: Target, report: Callable[[int], None]) -> None:
        """Take an adapter whose module nobody else runs meanwhile.

        `report` is called with the number of pictures before each pass.
        """
        self._device = evidence.loaded.device
        self._read, self._size = _reader(evidence, adapter, target, report)

    def __call__(self, pictures: Iterable[Tensor]) -> Tensor:
        """Return the numbers of pictures (C, height, width), float64 (n,) on the CPU."""
        with torch.no_grad(), exact(self._device):
            batches = in_batches(pictures, self._size, lambda part: self._read(torch.stack(part)))
            return torch.cat([batch.cpu().double() for batch in batches])


def _reader(
    evidence: Evidence, adapter: Adapter, target: Target, report: Callable[[int], None]
) -> tuple[Callable[[Tensor], Tensor], int]:
    """Return a function from pictures (B, C, h, w) to numbers (B,), and how many it takes."""
    of_box = isinstance(evidence.outputs, Detections) and target.part in PARTS
    if isinstance(target, FunctionTarget) or not of_box:
        scalars = Scalars(adapter, [target], report, evidence.tensor, partial(lead, adapter))
        return scalars, pictures_in_a_pass(evidence, adapter, target)
    # A box's candidate may be another one in a changed picture.
    score = scorer(evidence, [target])

    def read_box(pictures: Tensor) -> Tensor:
        report(len(pictures))
        return score(adapter.run(pictures.to(evidence.tensor)))[:, 0]

    return read_box, most_pictures(evidence, adapter)


class _Test:
    """The tests of one target's maps on one picture."""

    def __init__(self, evidence: Evidence, target: Target, answers: Answers) -> None:
        self.candidates: tuple[Candidate, ...] = ()
        self.places: list[tuple[int, int]] = []
        """Rows and columns of the places that were covered."""
        self._answers = answers
        self._geometry = evidence.geometry
        self._picture = evidence.tensor.detach()[0].float()
        self._colour = fill_mean(self._picture, evidence.geometry)
        self._blurred = blurred_input(evidence)[0]

    def run(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Return the tested map (height, width) of some candidates."""
        if not maps:
            return torch.zeros_like(self._picture[0])
        whole, span, left = self._hide_and_keep([*maps.values()])
        scores = (left[:, :, 1] - left[:, :, 0]).mean(1).nan_to_num()
        weights = (scores / TEMPERATURE).softmax(0)
        self.candidates = tuple(
            Candidate(name, shrink(each, self._geometry), (*covered,), (*kept,), weight)
            for (name, each), (covered, kept), weight in zip(
                maps.items(), left.transpose(1, 2).tolist(), weights.tolist(), strict=True
            )
        )
        values = torch.stack([*maps.values()])
        mix = (weights.to(values)[:, None, None] * values).sum(0)
        mix = mix / mix.max()
        if not span:
            return mix
        fine = make_finer(mix, maps.get(EDGE_MAP))
        self.places = find_places(fine, values, self._geometry)
        discs = [disc(place, self._geometry, mix.device) for place in self.places]
        costs = (whole - self._answers(torch.where(each, self._blurred, self._picture) for each in discs)).clamp_min(0)
        near = [nearness(place, self._geometry, mix) for place in self.places]
        return raise_places(mix, fine, near, costs / span)

    def _hide_and_keep(self, maps: Sequence[Tensor]) -> tuple[float, float, Tensor]:
        """Return the picture's number, its span, and what is left of that.

        The span is the difference to the number of the mean colour, 0 within rounding. What is left is (n, shares, 2),
        0..1 of it, by covering and by keeping, and NaN without a span.
        """
        numbers = self._answers(self._changed(maps))
        ends = numbers[:2]
        low, high = ends.min(), ends.max()
        span = float(high - low)
        if self._is_even or span <= ROUNDING * float(ends.abs().max()):
            return float(ends[0]), 0.0, numbers.new_full((len(maps), len(SHARES), 2), torch.nan)
        left = (numbers[2:].clamp(low, high) - low) / span
        return float(ends[0]), span, left.reshape(len(maps), len(SHARES), 2)

    @property
    def _is_even(self) -> bool:
        """Whether the picture has one colour, so that answers to its covers differ by rounding alone."""
        difference = (self._picture - self._colour).abs().max()
        return bool(difference <= ROUNDING * self._picture.abs().max())

    def _changed(self, maps: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the picture, its mean colour, and each map's shares covered and kept."""
        picture, colour = self._picture, self._colour
        yield picture
        yield colour
        for values in smooth(torch.stack([*maps]), self._geometry, FINE):
            for share in SHARES:
                hot = hottest(values, share, self._geometry)
                yield torch.where(hot, colour, picture)
                yield torch.where(hot, picture, colour)


def make_finer(mix: Tensor, edges: Tensor | None) -> Tensor:
    """Return a mix (height, width) weighed by the map of pixels, with 1 as its maximum; without one as it is."""
    if edges is None:
        return mix
    fine = mix * (LEFT + edges)
    return fine / fine.max()


def fill_mean(picture: Tensor, geometry: Geometry) -> Tensor:
    """Return an input (C, height, width) whose content is its mean colour; bars stay."""
    left, top, right, bottom = geometry.content
    filled = picture.clone()
    content = picture[:, top:bottom, left:right]
    filled[:, top:bottom, left:right] = content.mean((1, 2), keepdim=True)
    return filled


def hottest(values: Tensor, share: float, geometry: Geometry) -> Tensor:
    """Return where the hottest share of a map's content is, bool (height, width)."""
    left, top, right, bottom = geometry.content
    content = values[top:bottom, left:right]
    count = max(1, round(share * content.numel()))
    hot = torch.zeros(content.numel(), dtype=torch.bool, device=values.device)
    # In the order of places where values are equal but for rounding: on a plateau it would choose.
    order = content.flatten().round(decimals=DIGITS).argsort(descending=True, stable=True)
    hot[order[:count]] = True
    mask = torch.zeros_like(values, dtype=torch.bool)
    mask[top:bottom, left:right] = hot.reshape(content.shape)
    return mask


def shrink(values: Tensor, geometry: Geometry) -> NDArray[np.float32]:
    """Return a map's content on at most `SMALL` cells a side."""
    left, top, right, bottom = geometry.content
    content = values[top:bottom, left:right]
    ratio = min(1.0, SMALL / max(content.shape))
    size = [max(1, round(side * ratio)) for side in content.shape]
    small: NDArray[np.float32] = F.interpolate(content[None, None], size, mode="area")[0, 0].cpu().numpy()
    return small


def find_places(mix: Tensor, maps: Tensor, geometry: Geometry) -> list[tuple[int, int]]:
    """Return rows and columns of the places to cover.

    They are peaks of the mix (height, width), and each map's own, (n, height, width).
    """
    left, top, right, bottom = geometry.content
    apart = APART * _radius(geometry)
    free = torch.zeros_like(mix, dtype=torch.bool)
    free[top:bottom, left:right] = True
    places: list[tuple[int, int]] = []

    def add(values: Tensor, allowed: Tensor) -> None:
        peak = int(values.masked_fill(~allowed, -1).argmax())
        row, column = divmod(peak, values.shape[1])
        if bool(free[row, column]) and bool(values[row, column] > 0):
            places.append((row, column))
            free.logical_and_(distances((row, column), free) >= apart)

    content = free.clone()
    for _ in range(MIX_PEAKS):
        add(mix, free)
    for values in maps:
        if len(places) < PLACES:
            add(values, content)
    return places


def disc(place: tuple[int, int], geometry: Geometry, device: torch.device) -> Tensor:
    """Return which of the content is in a place, bool (height, width)."""
    left, top, right, bottom = geometry.content
    inside = torch.zeros(geometry.input, dtype=torch.bool, device=device)
    near = distances(place, inside) <= _radius(geometry)
    inside[top:bottom, left:right] = near[top:bottom, left:right]
    return inside


def nearness(place: tuple[int, int], geometry: Geometry, like: Tensor) -> Tensor:
    """Return a Gaussian around a place, (height, width), with the radius of places as its standard deviation."""
    return (-((distances(place, like) / _radius(geometry)) ** 2) / 2).exp()


def distances(place: tuple[int, int], like: Tensor) -> Tensor:
    """Return how far each cell of (height, width) is from a place, in cells."""
    rows = torch.arange(like.shape[0], device=like.device) - place[0]
    columns = torch.arange(like.shape[1], device=like.device) - place[1]
    return torch.hypot(rows[:, None].float(), columns[None].float())


def _radius(geometry: Geometry) -> float:
    left, top, right, bottom = geometry.content
    return max(RADIUS * max(right - left, bottom - top), 1.0)


def raise_places(mix: Tensor, fine: Tensor, near: Sequence[Tensor], costs: Tensor) -> Tensor:
    """Return the mix with what is near each place raised to the place's share of the largest cost.

    `costs`: of the places, as shares of the answer.
    """
    if not near or not bool(costs.max() > 0):
        return mix
    highest = torch.zeros_like(mix)
    for weight, share in zip(near, (costs / costs.max()).tolist(), strict=True):
        part = weight * (fine + FAINT)
        highest = torch.maximum(highest, part / part.max() * share)
    sure = min(1.0, float(costs.max()) / DECISIVE)
    return sure * highest + max(1 - sure, REST) * mix
