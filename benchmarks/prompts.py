"""`python -m benchmarks.prompts`: whether the map of a prompt lies on what the prompt names, on drawn scenes.

Of every named thing in a scene the hottest place is looked up: within half a cell of the thing that was named, or not.
What knows no words (the picture's middle, its strongest edge) says how far chance goes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from explain import Explainer
from models.demo import captioned_scenes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

METHODS = ("gradcam", "hirescam", "layercam", "eigencam")
WAYS = {
    "alone": "one prompt, its logit alone",
    "neutral": "one prompt against a neutral one",
    "contrast": "all prompts of the scene compete",
}
REACH = 4
"""Pixels of 96: half a cell of the last layer."""


def pointing(
    count: int, *, methods: Sequence[str] = METHODS, ways: Sequence[str] = tuple(WAYS), rare: bool = False
) -> dict[str, dict[str, float]]:
    """By way and method: `hit`, how often the hottest place is on what was named; `heat`, the share of the map within
    it; `alike`, that within things that share one of its two words; `middle` and `edge` need no model."""
    explainer, found = Explainer("demo-clip", device="cpu"), defaultdict(list)
    for seed in range(count):
        spec = captioned_scenes.sample(seed, held_out=True, rare=rare)
        scene = captioned_scenes.draw(spec)
        phrases = [thing.phrase for thing in spec.named if scene.masks[thing.phrase].any()]
        asked = [p for p in phrases if tuple(p.split()) in captioned_scenes.NEVER_SEEN] if rare else phrases
        edges = _edges(scene.pixels)
        for phrase in asked:
            mask = scene.masks[phrase]
            centre = _near(mask, mask.shape[0] // 2, mask.shape[1] // 2)
            found["middle", ""].append((centre, *_shares(np.ones(mask.shape), mask, _alike(scene, phrase))))
            found["edge", ""].append((_near(mask, *_peak(edges)), *_shares(edges, mask, _alike(scene, phrase))))
        for way in ways:
            part: Any = "class" if way == "alone" else "contrast"
            for prompts in [phrases] if way == "contrast" else [[phrase] for phrase in asked]:
                made = explainer(scene.pixels, vocabulary=prompts, targets=prompts, part=part)
                for method in methods:
                    for heatmap in made.with_method(method).heatmaps:
                        if heatmap.target.label not in asked:
                            continue
                        mask, values = scene.masks[heatmap.target.label], heatmap.values
                        hit = heatmap.state == "ok" and _near(mask, *_peak(values))
                        shares = _shares(values, mask, _alike(scene, heatmap.target.label))
                        found[way, method].append((hit, *shares))
    return {
        " ".join(key).strip(): dict(
            zip(("hit", "heat", "alike"), np.nanmean(np.array(rows, float), 0).tolist(), strict=True)
        )
        | {"count": len(rows)}
        for key, rows in found.items()
    }


def _shares(values: NDArray[Any], mask: NDArray[np.bool_], alike: NDArray[np.bool_] | None) -> tuple[float, float]:
    total = max(float(values.sum()), 1e-9)
    return float(values[mask].sum()) / total, float("nan") if alike is None else float(values[alike].sum()) / total


def _alike(scene: captioned_scenes.Scene, phrase: str) -> NDArray[np.bool_] | None:
    """(H, W), where things are that have its colour or its shape; None where there are none."""
    others = [
        mask for other, mask in scene.masks.items() if other != phrase and set(other.split()) & set(phrase.split())
    ]
    return np.any(others, 0) if others else None


def _peak(values: NDArray[Any]) -> tuple[int, int]:
    row, column = np.unravel_index(values.argmax(), values.shape)
    return int(row), int(column)


def _near(mask: NDArray[np.bool_], row: int, column: int) -> bool:
    window = mask[max(row - REACH, 0) : row + REACH + 1, max(column - REACH, 0) : column + REACH + 1]
    return bool(window.any())


def _edges(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 2)
    return np.asarray(np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1)), np.float32)


def table(found: dict[str, dict[str, float]]) -> str:
    """Markdown."""
    lines = [
        "| asked | method | hottest place on what was named | heat on it | heat on what shares a word |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key, row in found.items():
        way, _, method = key.partition(" ")
        said = WAYS.get(way, f"no model: the {'middle' if way == 'middle' else 'strongest edge'}")
        lines.append(f"| {said} | {method} | {row['hit']:.2f} | {row['heat']:.2f} | {row['alike']:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prompts", description=__doc__)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--rare", action="store_true", help="colours with shapes that training never put together")
    asked = parser.parse_args()
    found = pointing(asked.scenes, rare=asked.rare)
    print(f"{asked.scenes} scenes, {next(iter(found.values()))['count']} things named\n\n{table(found)}")


if __name__ == "__main__":
    main()
