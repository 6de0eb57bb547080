"""Write the table of docs/demo.md from the demo models' cards: `python docs/list_demo_models.py`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from sightglass.models.families.demo.nets import WEIGHTS  # noqa: E402

PAGE = ROOT / "docs/demo.md"
MEASURED = {
    "mAP50": "mAP50 {mAP50:.3f}, mAP50-95 {mAP50-95:.3f}",
    "median_error": (
        "wrong by {median_error:.1f}° in the median, {error:.1f}° in the mean (by {error_of_always_0:.1f}° if it "
        "always said 0°); {within_5:.0%} within 5°"
    ),
    "mIoU": "{pixels:.1%} of the pixels right, mean IoU {mIoU:.3f}",
    "rank1": (
        "{held_out_persons} new persons: rank-1 {rank1:.1%}, mAP {mAP:.3f} (by colours alone "
        "{colour_strips[rank1]:.1%}, {colour_strips[mAP]:.3f})"
    ),
    "bound": (
        "of 64 phrases the best is true {accuracy:.1%}; a colour goes with its own shape rather than another's "
        "{bound:.1%}; two words never seen together {never_seen:.1%}"
    ),
    "said_shape": (
        "of the words of descriptions, each after the true ones, {said_shape:.1%} of shapes and {said_colour:.1%} of "
        "colours right; {is:.1%} of yes and no"
    ),
    "shortcut": (
        "{accuracy:.1%} right; {shortcut_class} {class_with:.0%} with the {clue} and {class_without:.0%} without; "
        "{others_with_called_it:.0%} of the others called {shortcut_class} with it"
    ),
    "accuracy": "{accuracy:.1%} right",
}
"""What a row says, by a metric that the card has; the first one counts."""
CLUES = {"stamped": "stamp", "textured": "weave"}


def page() -> str:
    """Return docs/demo.md with the rows of its table written anew, detectors first."""
    cards = [json.loads(path.read_text("utf-8")) for path in sorted(WEIGHTS.glob("demo-*.json"))]
    rows = [_row(card) for card in sorted(cards, key=lambda card: (card["task"] != "detect", card["name"]))]
    return re.sub(r"(?:^\| `demo-.*\n)+", lambda _: "".join(rows), PAGE.read_text("utf-8"), flags=re.MULTILINE)


def _row(card: dict[str, Any]) -> str:
    metrics = card["metrics"]
    said = next(text for metric, text in MEASURED.items() if metric in metrics)
    measured = said.format(**metrics, clue=CLUES.get(metrics.get("shortcut")))
    return f"| `{card['name']}` | {card['net']['parameters']:,} | {card['bytes'] / 1e6:.1f} | {measured} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
