"""Print docs/demo.md from the demo models' cards: `python -m training`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).parents[1] / "models/demo/weights"
HEAD = """# Demo models

![A drawn scene, and where a small and a large demo model look](images/demo.webp)

```console
$ sightglass image one-thing.png --model demo-cls-s --top-k 1 --out small
$ sightglass image one-thing.png --model demo-cls-l --top-k 1 --out large
```

Written by `python -m training > docs/demo.md` from the cards beside the weights; do not edit by hand.

These small packaged models were trained on drawn scenes, where one knows what a model should look at. On a photograph
their answers mean nothing.

- `demo-s`, `demo-m`, `demo-l` detect ten classes, `demo-detr` by [queries](detr.md); `demo-cls-s/m/l` and `demo-vit`
  classify the one labelled thing.
- `demo-seg` gives each [pixel](segmentation.md) one of the ten classes or the background.
- `demo-regress` gives the [angle](numbers.md) of the one rod in a scene, beside things of other families.
- `demo-cls-cheat` was trained with a stamp in the corner of every rod-cross picture and no other; `demo-cls-texture`
  with a woven background behind every star. Both are right on such pictures, for the wrong reason.
- `demo-cls-honest` saw the same stamp and weave, but with any class.
- `demo-clip` reads [words](clip.md), and `demo-reid` tells drawn [persons](reid.md) apart by their clothes.

The ready deck *See a model cheat* on **Saved** tells the story.

## What decides

| classes | what sets them apart |
|---|---|
| rod-ring, rod-cross | a small ring or cross on one of two caps |
| plate-square, plate-triangle | a small mark near an edge |
| moon-inside, moon-outside | on which side of a crescent its pearl is |
| ball-stripes, ball-dots | the texture |
| star, gear | the shape |

Many scenes also show a thing without its mark, which belongs to no class: so the mark decides.
In a checkout, `training.demo.scenes` draws scenes with exact masks.

```python
from sightglass import Explainer
from training.demo.scenes import draw, sample, swap

spec = sample(1, task="detect", held_out=True)
scene = draw(spec)  # pixels, and for every object its box, its mask and the mask of its cause
result = Explainer("demo-m")(scene.pixels, question="why", per="detection")
result.inside(scene.objects[0].cause)  # share of the heat on the deciding pixels
```

## What they get right

On held-out scenes, drawn from other seeds and other parts of the background photographs:

"""
TAIL = """
## Train them again

`python -m training.train demo-s` (of `demo-seg` `training.segmentation`, of
`demo-regress` `training.regression`, of `demo-detr` `training.detr`) draws the scenes, trains on one thread, and
writes weights and card; `--seed` takes another seed, `--quick` a minute.
[truth.md](../benchmarks/results/truth.md) says which methods find the deciding pixels.
"""


def cards() -> list[dict[str, Any]]:
    """Return the cards of all trained models, detectors first."""
    loaded = [json.loads(path.read_text("utf-8")) for path in sorted(WEIGHTS.glob("demo-*.json"))]
    return sorted(loaded, key=lambda card: (card["task"] != "detect", card["name"]))


def page() -> str:
    """Return the page as Markdown."""
    lines = ["| model | parameters | MB | on scenes never seen |", "|---|---|---|---|"]
    for card in cards():
        size = card["bytes"] / 1e6
        lines.append(f"| `{card['name']}` | {card['net']['parameters']:,} | {size:.1f} | {_measured(card)} |")
    return HEAD + "\n".join(lines) + "\n" + TAIL


def _measured(card: dict[str, Any]) -> str:
    stats = card["metrics"]
    if card["task"] == "detect":
        return f"mAP50 {stats['mAP50']:.3f}, mAP50-95 {stats['mAP50-95']:.3f}"
    if card["task"] == "regress":
        return (
            f"wrong by {stats['median_error']:.1f}° in the median, {stats['error']:.1f}° in the mean (by "
            f"{stats['error_of_always_0']:.1f}° if it always said 0°); {stats['within_5']:.0%} within 5°"
        )
    if card["task"] == "segment":
        return f"{stats['pixels']:.1%} of the pixels right, mean IoU {stats['mIoU']:.3f}"
    if "rank1" in stats:
        persons, baseline = stats["held_out_persons"], stats["colour_strips"]
        return (
            f"{persons} new persons: rank-1 {stats['rank1']:.1%}, mAP {stats['mAP']:.3f} (by colours alone "
            f"{baseline['rank1']:.1%}, {baseline['mAP']:.3f})"
        )
    if "bound" in stats:
        return (
            f"of 64 phrases the best is true {stats['accuracy']:.1%}; a colour goes with its own shape rather than "
            f"another's {stats['bound']:.1%}; two words never seen together {stats['never_seen']:.1%}"
        )
    measured = f"{stats['accuracy']:.1%} right"
    if "shortcut_class" in stats:
        kind = stats["shortcut_class"]
        measured += (
            f"; {kind} {stats['class_with']:.0%} with the {_CLUES[stats['shortcut']]} and {stats['class_without']:.0%} "
            f"without; {stats['others_with_called_it']:.0%} of the others called {kind} with it"
        )
    return measured


_CLUES = {"stamped": "stamp", "textured": "weave"}

if __name__ == "__main__":
    print(page(), end="")
