"""Measure whether a prompt's map is on what it names.

On drawn scenes: `python -m benchmarks.prompts`.

For every named thing in a scene: is the hottest place within half a cell of it? Baselines without words (the picture's
middle, its strongest edge) show how often that happens by chance.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import baselines
from benchmarks.report import grid
from sightglass.explain import Explainer
from sightglass.models.demo import captioned_scenes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

METHODS = ("gradcam", "hirescam", "layercam", "eigencam")
WAYS = {
    "logit": "one prompt, its logit alone",
    "neutral": "one prompt against a neutral one",
    "contrast": "all prompts of the scene compete",
}
REACH = 4
"""Pixels of 96: half a cell of the last layer."""


def pointing(
    count: int, *, methods: Sequence[str] = METHODS, ways: Sequence[str] = tuple(WAYS), rare: bool = False
) -> dict[str, dict[str, float]]:
    """Return figures by way and method, and for the baselines `middle` and `edge`.

    `hit`: how often the hottest place is on what was named; `heat`: the share of the map within it; `alike`: the share
    within things that have one of its two words.
    """
    explainer, found = Explainer("demo-clip", device="cpu"), defaultdict(list)
    for seed in range(count):
        spec = captioned_scenes.sample(seed, held_out=True, rare=rare)
        scene = captioned_scenes.draw(spec)
        phrases = [thing.phrase for thing in spec.named if scene.masks[thing.phrase].any()]
        wanted = [p for p in phrases if tuple(p.split()) in captioned_scenes.NEVER_SEEN] if rare else phrases
        edges = baselines.edges(scene.pixels, blur=2)
        for phrase in wanted:
            even = np.ones(edges.shape)
            middle = (edges.shape[0] // 2, edges.shape[1] // 2)
            found["middle", ""].append(_measured(scene, phrase, even, middle))
            found["edge", ""].append(_measured(scene, phrase, edges))
        for way in ways:
            part: Any = "class" if way == "logit" else "contrast"
            for prompts in [phrases] if way == "contrast" else [[phrase] for phrase in wanted]:
                made = explainer(scene.pixels, vocabulary=prompts, targets=prompts, part=part)
                for method in methods:
                    for heatmap in made.with_method(method).heatmaps:
                        if heatmap.target.label in wanted:
                            hit, heat, alike = _measured(scene, heatmap.target.label, heatmap.values)
                            found[way, method].append((hit * (heatmap.state == "ok"), heat, alike))
    return {
        " ".join(key).strip(): dict(
            zip(("hit", "heat", "alike"), np.nanmean(np.array(rows, float), 0).tolist(), strict=True)
        )
        | {"count": len(rows)}
        for key, rows in found.items()
    }


def _measured(
    scene: captioned_scenes.CaptionedScene, phrase: str, values: NDArray[Any], peak: tuple[int, int] | None = None
) -> tuple[float, float, float]:
    """Return whether the peak is on the named thing, and the shares of the map on it and on things like it."""
    mask, total = scene.masks[phrase], max(float(values.sum()), 1e-9)
    row, column = map(int, np.unravel_index(values.argmax(), values.shape)) if peak is None else peak
    window = mask[max(row - REACH, 0) : row + REACH + 1, max(column - REACH, 0) : column + REACH + 1]
    words = set(phrase.split())
    alike = [one for other, one in scene.masks.items() if other != phrase and words & set(other.split())]
    share = float(values[np.any(alike, 0)].sum()) / total if alike else float("nan")
    return float(window.any()), float(values[mask].sum()) / total, share


def table(found: dict[str, dict[str, float]]) -> str:
    rows = []
    for key, row in found.items():
        way, _, method = key.partition(" ")
        name = WAYS.get(way, f"no model: the {'middle' if way == 'middle' else 'strongest edge'}")
        rows.append((name, method, *(f"{row[figure]:.2f}" for figure in ("hit", "heat", "alike"))))
    head = ("prompts", "method", "hottest place on what was named", "heat on it", "heat on what shares a word")
    return grid(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prompts", description=__doc__)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--rare", action="store_true", help="colours with shapes that training never put together")
    options = parser.parse_args()
    found = pointing(options.scenes, rare=options.rare)
    print(f"{options.scenes} scenes, {next(iter(found.values()))['count']} things named\n\n{table(found)}")


if __name__ == "__main__":
    main()
