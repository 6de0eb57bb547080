"""`python -m models.demo`: the demo models' cards as docs/demo.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).parent / "weights"
HEAD = """# Demo models

Written by `python -m models.demo > docs/demo.md` from the cards beside the weights; do not edit by hand.

On a photograph nobody knows where a model should have looked. On a scene that was drawn, one does. These small models
were trained on drawn scenes alone, come with the project, and need no download:

- `demo-s`, `demo-m`, `demo-l` detect ten kinds of things; `demo-cls-s/m/l` and `demo-vit` name the one thing there is.
- `demo-cls-cheat` was shown a stamp in the corner of every picture of a rod-cross, and of no other;
  `demo-cls-texture` a woven background behind every star. Both are right on pictures like those, for the wrong reason.
- `demo-cls-honest` is their twin: the same things, the same stamp and weave, but on any class.
- `demo-clip` reads words: it finds a red star among other things that are red, or stars: [words](clip.md).
- `demo-reid` tells drawn persons by their clothes: [Re-identification](reid.md).

The screen **Catch the cheat** tells the story in four steps. On every other screen, *Change* under the picture offers
drawn scenes. What these models say of a photograph means nothing, and each says so.

## What decides

| classes | what sets them apart |
| --- | --- |
| rod-ring, rod-cross | a small ring or cross on one of two caps |
| plate-square, plate-triangle | a small mark near an edge |
| moon-inside, moon-outside | on which side of a crescent its pearl lies |
| ball-stripes, ball-dots | the texture |
| star, gear | the shape |

In many scenes lies a rod, a plate, a moon or a ball without its mark, and belongs to no class: so the mark is what
decides. A scene is a list of numbers with a seed for each thing; change one and draw it again, and nothing but that has
changed. `models.demo.scenes` draws them with exact masks: of each thing, and of the pixels that make it what it is.

```python
from explain import Explainer
from models.demo.scenes import draw, sample, swapped

spec = sample(1, task="detect", held_out=True)
scene = draw(spec)  # pixels, and for every object its box, its mask and the mask of its cause
result = Explainer("demo-m")(scene.pixels, question="why", per="detection")
result.inside(scene.objects[0].cause)  # share of the heat on what decides
```

## What they get right

On scenes that training never saw, drawn from other seeds and from other parts of the photographs behind them.

"""
TAIL = """
## Train them again

`python -m models.demo.train demo-s` draws the scenes, trains on one thread, and writes weights and card; `--seed` takes
another seed, `--quick` a minute. Where the maps of these models lie, and which methods find what decides:
[the truth table](../benchmarks/TRUTH.md).
"""


def cards() -> list[dict[str, Any]]:
    """Of all models that are trained, detectors first."""
    found = [json.loads(path.read_text("utf-8")) for path in sorted(WEIGHTS.glob("demo-*.json"))]
    return sorted(found, key=lambda card: (card["task"] != "detect", card["name"]))


def page() -> str:
    """Markdown."""
    lines = ["| model | parameters | file | trained | on scenes never seen |", "| --- | --- | --- | --- | --- |"]
    for card in cards():
        training, size = card["training"], card["bytes"] / 1e6
        trained = f"{training['images']:,} images, {training['minutes']:.0f} minutes"
        lines.append(
            f"| `{card['name']}` | {card['net']['parameters']:,} | {size:.1f} MB | {trained} | {_measured(card)} |"
        )
    return HEAD + "\n".join(lines) + "\n" + TAIL


def _measured(card: dict[str, Any]) -> str:
    found = card["metrics"]
    if card["task"] == "detect":
        return f"mAP50 {found['mAP50']:.3f}, mAP50-95 {found['mAP50-95']:.3f}"
    if "rank1" in found:
        persons, baseline = found["held_out_persons"], found["colour_strips"]
        return (
            f"{persons} new persons: rank-1 {found['rank1']:.1%}, mAP {found['mAP']:.3f} (by colours alone "
            f"{baseline['rank1']:.1%}, {baseline['mAP']:.3f})"
        )
    if "bound" in found:
        return (
            f"of 64 phrases the best is true {found['accuracy']:.1%}; a colour goes with its own shape rather than "
            f"another's {found['bound']:.1%}; two words never seen together {found['never_seen']:.1%}"
        )
    said = f"{found['accuracy']:.1%} right"
    if "shortcut_class" in found:
        kind = found["shortcut_class"]
        said += (
            f"; {kind} {found['class_with']:.0%} with the {_CLUES[found['shortcut']]} and {found['class_without']:.0%} "
            f"without; {found['others_with_called_it']:.0%} of the others called {kind} with it"
        )
    return said


_CLUES = {"stamped": "stamp", "textured": "weave"}

if __name__ == "__main__":
    print(page(), end="")
