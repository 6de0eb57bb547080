"""Clip, scale and upsample raw maps to heatmaps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.evidence.layers import PIXELS
from sightglass.explain.evidence.recorded import replayed
from sightglass.explain.maps.statistics import coarse, hottest_mask
from sightglass.explain.methods.gradient import bilinear
from sightglass.explain.methods.method import Candidate
from sightglass.explain.options import Scale
from sightglass.explain.rendering.style import Field, Kind
from sightglass.models.adapter import Target
from sightglass.models.geometry import Geometry, picture_cells
from sightglass.models.layers import Cover

State = Literal["ok", "flat", "no evidence", "not a number"]
BLUR = 0.015
"""Standard deviation by which maps of single pixels are blurred for the eye, as a share of the longer side."""
EPSILON = 1e-7
"""pytorch-grad-cam's, so that the maps agree to the last digit."""


@dataclass(frozen=True, eq=False)
class Heatmap:
    """The scaled map of one target, with its raw values."""

    target: Target
    method: str
    layers: tuple[str, ...]
    raw: tuple[NDArray[np.float32], ...]
    """As computed, signed, on each layer's own grid: one float32 (h, w) per layer."""
    at_input: NDArray[np.float32]
    """float32 (h, w), 0..1, or -1..1 of a signed map, at the model's input resolution; 0 on a letterbox's bars."""
    geometry: Geometry
    scale: Scale
    """`own`: its maximum is 1. `shared`: 1 is the maximum over all the maps computed together. Of a signed map it is
    the maximum of the absolute values, so that 0 stays 0."""
    state: State
    """Why the map is empty; `values` are 0 unless it is "ok"."""
    ends: tuple[float, float] | None = None
    """The raw values, clipped at 0 and grown, where `at_input` is 0 and where it is 1; of a signed map, which is not
    clipped, where it is -1 and where it is 1.

    Growing flattens peaks, so these are not `raw_range`. None for several layers and for an empty map.
    """

    uncut: "Heatmap | None" = None
    """The map of the whole picture, where only the part inside the boxes is shown."""
    signed: bool = False
    """Whether it keeps its sign: positive values raise what is explained, negative ones lower it."""
    candidates: tuple[Candidate, ...] = ()
    """The maps that the method `tested` made it of, with what their tests found; empty of other methods."""

    @property
    def measured(self) -> "Heatmap":
        """The map that numbers are computed from: `within` only affects display."""
        return self.uncut or self

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """The map on the original's grid, float32 (H, W); 0 outside `seen`."""
        values = self.upsampled()
        values.flags.writeable = False
        return values

    def upsampled(self) -> NDArray[np.float32]:
        """Recompute `values` without caching their 48 MB per 12 megapixels."""
        values = self.geometry.to_original(self.at_input)
        return np.clip(values, -1 if self.signed else 0, 1, out=values)

    @property
    def cells(self) -> tuple[int, int] | None:
        """Rows and columns of the map's grid; None for several layers."""
        if len(self.raw) > 1:
            return None
        h, w = self.raw[0].shape
        cover = self.geometry.cell_cover("".join(self.layers[:1]), h, w)
        top, bottom, left, right = picture_cells(self.geometry, h, w, cover)
        return bottom - top, right - left

    @property
    def field(self) -> Field:
        """The map as it is drawn over the original."""
        return Field(self.content, self.geometry.extent, self.seen, self.kind, self.cells)

    @property
    def kind(self) -> Kind:
        """How it is drawn (`explain.rendering.style.Field`)."""
        return "signed" if self.signed else "heat"

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """The seen part without the crop, xyxy in original pixels."""
        return self.geometry.seen

    @property
    def content(self) -> NDArray[np.float32]:
        """The part of `at_input` that is picture, float32 (h, w)."""
        left, top, right, bottom = self.geometry.content
        return self.at_input[top:bottom, left:right]

    @property
    def strength(self) -> NDArray[np.float32]:
        """How strong the evidence is: `content`, of a signed map without its signs; float32 (h, w) in 0..1."""
        return np.abs(self.content) if self.signed else self.content

    @property
    def raising(self) -> float | None:
        """The share of evidence that raises the number, 0..1: the rest lowers it. None for unsigned and empty maps."""
        if not self.signed or self.state != "ok":
            return None
        content = self.measured.content
        raises, total = np.maximum(content, 0).sum(dtype=np.float64), np.abs(content).sum(dtype=np.float64)
        return float(raises / total) if total else None

    @cached_property
    def coarse(self) -> NDArray[np.float32]:
        """`strength` reduced by area to at most 320 cells a side; statistics are computed on it."""
        return coarse(self.strength)

    @cached_property
    def hottest(self) -> NDArray[np.bool_]:
        """The hottest fifth of `coarse`, on its grid."""
        return hottest_mask(self.coarse, 0.2)

    @property
    def raw_range(self) -> tuple[float, float]:
        """Smallest and largest raw value over all layers."""
        return float(min(raw.min() for raw in self.raw)), float(max(raw.max() for raw in self.raw))


def on_content(
    raws: Sequence[Tensor], geometry: Geometry, layers: Sequence[str], *, signed: bool = False
) -> NDArray[np.float32]:
    """Return the first raw map over the content, float32 in 0..1; `signed`: as `Heatmap.strength` of a signed map."""
    left, top, right, bottom = geometry.content
    scaled, _ = scale_maps(raws, geometry, "own", layers, signed=signed)
    values: NDArray[np.float32] = scaled[0, top:bottom, left:right].cpu().numpy()
    return np.abs(values) if signed else values


@own_modes()
def scale_maps(
    raws: Sequence[Tensor], geometry: Geometry, scale: Scale, layers: Sequence[str] = (), *, signed: bool = False
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Clip, scale, upsample and average raw maps, as pytorch-grad-cam does.

    Each layer's map is clipped at 0 and brought to 0..1, grown bilinearly, averaged over layers, and brought to 0..1
    again. Bars of a letterbox are no picture: they are cut off before any minimum or maximum is taken. With `shared`
    the minima and maxima are those of all k maps. `layers` are the raw maps' paths, for `geometry.cell_cover`.
    Returns the maps, and the ranges of the last layer before and of the mean after upsampling.
    """
    fixed = (geometry, scale, tuple(layers), signed)
    return replayed(fixed, lambda maps: _scale_maps(maps, *fixed), raws)


def _scale_maps(
    raws: Sequence[Tensor], geometry: Geometry, scale: Scale, layers: Sequence[str], signed: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    height, width = geometry.input
    left, top, right, bottom = geometry.content
    # Layers of one grid are added up on it: growing is linear.
    units: dict[tuple[int, int, Cover], Tensor] = {}
    for raw, path in zip(raws, layers or ("",) * len(raws), strict=True):
        h, w = raw.shape[-2:]
        cover = geometry.cell_cover(path, h, w)
        grid = (h, w, cover)
        y0, y1, x0, x1 = picture_cells(geometry, h, w, cover)
        part = raw[:, y0:y1, x0:x1].float()
        part = part if path != PIXELS else smooth(part)
        part = part if signed else part.clamp_min(0)
        low, high = _range(part, scale, signed)
        unit = (part - low) / (EPSILON + (high - low))
        # A cell of the bars reads as its neighbour in the picture, or its heat would bleed in.
        unit = F.pad(unit, (x0, w - x1, y0, h - y1), mode="replicate") if part.shape != raw.shape else unit
        units[grid] = units[grid] + unit if grid in units else unit
    matrices = [bilinear(h, height, raws[0].device, rows) for h, _, (rows, _) in units]
    columns, shares = _strips(tuple((w, line) for _, w, (_, line) in units), width, raws[0].device)
    mean = raws[0].new_empty(len(raws[0]), height, width, dtype=torch.float32)
    # Map by map: neither memory nor rounding depends on the number of maps.
    for i, out in enumerate(mean):
        # Grown down grid by grid, beside each other; then across and summed over grids at once.
        grown = torch.cat([matrix @ unit[i] for matrix, unit in zip(matrices, units.values(), strict=True)], 1)
        torch.mm(grown.index_select(1, columns).view(-1, len(shares)), shares, out=out.view(-1, shares.shape[1]))
    if len(raws) > 1:
        mean.div_(len(raws))
    lowest, highest = _range(mean[:, top:bottom, left:right], scale, signed)
    result = mean.sub_(lowest).mul_(1 / (EPSILON + (highest - lowest)))
    for bar in (result[:, :top], result[:, bottom:], result[..., :left], result[..., right:]):
        bar.zero_()
    return result, (low, high, lowest, highest)


def smooth(maps: Tensor) -> Tensor:
    """Blur maps (k, h, w) of single pixels by `BLUR`."""
    sigma = max(1.0, BLUR * max(maps.shape[-2:]))
    down, across = (_gaussian(side, sigma, maps.device) for side in maps.shape[-2:])
    return down @ maps @ across.T


def _smooth_content(raw: Tensor, geometry: Geometry) -> NDArray[np.float32]:
    """Smooth maps (k, h, w) of single pixels; letterbox bars are 0."""
    y0, y1, x0, x1 = picture_cells(geometry, *raw.shape[-2:])
    smoothed = torch.zeros_like(raw)
    smoothed[:, y0:y1, x0:x1] = smooth(raw[:, y0:y1, x0:x1])
    values: NDArray[np.float32] = smoothed.cpu().numpy()
    return values


@lru_cache(maxsize=16)
def _gaussian(pixels: int, sigma: float, device: torch.device) -> Tensor:
    """Return the (pixels, pixels) blur matrix of a row, normalised at the ends."""
    at = torch.arange(pixels, dtype=torch.float32)
    shares = (-((at[:, None] - at) ** 2) / (2 * sigma * sigma)).exp()
    return (shares / shares.sum(1, keepdim=True)).to(device)


@lru_cache(maxsize=64)
def _strips(
    grids: tuple[tuple[int, tuple[float, float]], ...], pixels: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the columns, (n * m,), and shares, (m, pixels / n), that make each of a row's n strips of pixels.

    `grids`: width and line (`Cover`) of each; their columns are numbered on. n divides all widths and `pixels`, so
    every strip has the same shares of its m columns: one small matrix for all, where a whole row's would be nearly all
    zeros. A grid of another scale than the row's has other shares in each strip: then the row is one strip.
    """
    is_even = all(scale == 1 for _, (scale, _) in grids)
    count, before = math.gcd(pixels, *(width for width, _ in grids)) if is_even else 1, 0
    size, columns, shares = pixels // count, [], []
    for width, line in grids:
        if not is_even:
            columns.append(torch.arange(width)[None] + before)
            shares.append(bilinear(width, pixels, device, line).T)
            before += width
            continue
        n = width // count
        # Of three strips the middle one, with a column on either side. Beyond the ends every column is as the last.
        # A start is a share of the width.
        strip = bilinear(3 * n, 3 * size, device, (1.0, line[1] * width / (3 * n)))
        shares.append(strip[size : 2 * size, n - 1 : 2 * n + 1].T)
        near = torch.arange(count)[:, None] * n + torch.arange(-1, n + 1)
        columns.append(near.clamp(0, width - 1) + before)
        before += width
    return torch.cat(columns, 1).flatten().to(device), torch.cat(shares).contiguous()


def _range(maps: Tensor, scale: Scale, signed: bool) -> tuple[Tensor, Tensor]:
    """Return the range of each of k maps, (k, 1, 1), or a shared one; of signed maps from 0."""
    # Not flattened, which copies views without bars; aminmax over dimensions takes 14 times as long.
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    if signed:
        low, high = torch.zeros_like(low), torch.maximum(-low, high)
    return (low.amin(0, keepdim=True), high.amax(0, keepdim=True)) if scale == "shared" else (low, high)


def _without_broken(raws: Sequence[Tensor], states: Sequence[State]) -> Sequence[Tensor]:
    """Return maps with 0 for broken ones: these must affect no shared scale."""
    if "not a number" not in states:
        return raws
    broken = torch.tensor([state == "not a number" for state in states], device=raws[0].device).view(-1, 1, 1)
    return [raw.nan_to_num(0, 0, 0).masked_fill(broken, 0) for raw in raws]


def heatmaps(
    raws: Sequence[Tensor],
    targets: Sequence[Target],
    *,
    method: str,
    layers: tuple[str, ...],
    geometry: Geometry,
    scale: Scale,
    signed: bool = False,
) -> tuple[Heatmap, ...]:
    """Scale raw maps, (k, h, w) per layer, to k heatmaps.

    Flat and broken maps are empty and have a `state`.

    `signed`: they keep their signs (`Heatmap.signed`).
    """
    if not targets:
        return ()
    raws = [raw.float() for raw in raws]
    arrays = [raw.cpu().numpy() for raw in raws]
    contents = arrays if PIXELS not in layers else [_smooth_content(raw, geometry) for raw in raws]
    magnitudes = [np.abs(raw) for raw in contents] if signed else contents
    states = [state_of([raw[i] for raw in magnitudes], geometry, layers) for i in range(len(targets))]
    scaled, ranges = scale_maps(_without_broken(raws, states), geometry, scale, layers, signed=signed)
    ends = _raw_ends(ranges, len(targets), signed)
    units = scaled.cpu().numpy()
    units[[state != "ok" for state in states]] = 0
    units.flags.writeable = False
    return tuple(
        Heatmap(
            target,
            method,
            layers,
            tuple(raw[i] for raw in arrays),
            units[i],
            geometry,
            scale,
            states[i],
            ends[i] if len(raws) == 1 and states[i] == "ok" else None,
            signed=signed,
        )
        for i, target in enumerate(targets)
    )


def _raw_ends(ranges: Sequence[Tensor], count: int, signed: bool) -> list[tuple[float, float]]:
    """Return the raw values where each of `count` maps of one layer is 0, or -1 of signed maps, and 1."""
    # Both scalings undone, in double precision.
    low, high, lowest, highest = torch.stack([r.flatten().expand(count) for r in ranges]).cpu().double().numpy()
    before, after = EPSILON + (high - low), EPSILON + (highest - lowest)
    ends = [(float(at), float(at + by)) for at, by in zip(low + lowest * before, after * before, strict=True)]
    return [(-high, high) for _, high in ends] if signed else ends


def rescale(maps: Sequence[Heatmap], scale: Scale) -> tuple[Heatmap, ...]:
    """Rescale maps from their raw values."""
    first = maps[0]
    raws = [torch.from_numpy(np.stack(layer)) for layer in zip(*(heatmap.raw for heatmap in maps), strict=True)]
    scaled = heatmaps(
        raws,
        [heatmap.target for heatmap in maps],
        method=first.method,
        layers=first.layers,
        geometry=first.geometry,
        scale=scale,
        signed=first.signed,
    )
    return tuple(replace(one, candidates=before.candidates) for one, before in zip(scaled, maps, strict=True))


def state_of(raws: Sequence[NDArray[np.float32]], geometry: Geometry, layers: Sequence[str] = ()) -> State:
    """Return whether a target's raw maps, (h, w) per layer, have evidence."""
    parts: list[NDArray[np.float32]] = []
    for raw, path in zip(raws, layers or ("",) * len(raws), strict=True):
        h, w = raw.shape
        y0, y1, x0, x1 = picture_cells(geometry, h, w, geometry.cell_cover(path, h, w))
        parts.append(raw[y0:y1, x0:x1])
    raws = parts
    if not all(np.isfinite(raw).all() for raw in raws):
        return "not a number"
    highest = max(float(raw.max()) for raw in raws)
    if highest <= 0:
        return "no evidence"
    return "flat" if all(float(np.ptp(np.maximum(raw, 0))) <= 1e-6 * highest for raw in raws) else "ok"


CELLS = 32
"""Rows and columns of the small maps for comparing pictures of any size."""


def small_map(heatmap: Heatmap) -> NDArray[np.uint8]:
    """Return a map on `CELLS` x `CELLS` cells, 0 to 255, of a signed one its size; 0 outside the content.

    Equals `Geometry.to_original` to a thirty-second of a cell, in a hundredth of the time.
    """
    heatmap, size = heatmap.measured, (CELLS, CELLS)
    (height, width), (sy, sx) = heatmap.geometry.original, heatmap.geometry.scale
    geometry = replace(heatmap.geometry, original=size, scale=(sy * height / CELLS, sx * width / CELLS))
    (down, across), (oy, ox) = geometry.scale, geometry.offset
    first_column, first_row = geometry.content[:2]
    matrix = np.array(
        [[across, 0, across / 2 + ox - first_column - 0.5], [0, down, down / 2 + oy - first_row - 0.5]], np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grown = cv2.warpAffine(heatmap.content, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    left, top, right, bottom = geometry.seen
    values = np.zeros(size, np.float32)
    strengths = np.abs(grown) if heatmap.signed else grown
    values[top:bottom, left:right] = np.clip(strengths[top:bottom, left:right], 0, 1)
    return np.rint(values * 255).astype(np.uint8)
