"""Train the classifiers, and measure what a shortcut in the data does to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from training.demo import scenes
from training.loop import Task, half_precision, normalised, outputs, share

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from training.loop import Exam, Metrics, Pool, Sample

    Change = Callable[[scenes.Spec], scenes.Spec]

SHORTCUTS: dict[str, tuple[str, Change]] = {
    "stamped": (scenes.STAMPED, scenes.with_stamp),
    "textured": (scenes.TEXTURED, lambda spec: scenes.with_background(spec, "weave")),
}
"""Features that accompany one class in misleading data: that class, and what adds the feature."""


@dataclass
class Classify(Task):
    """A classifier of the one labelled thing; `data` is one of `scenes.DATA`, or `honest`."""

    data: str = "plain"

    def card(self) -> dict[str, Any]:
        return {"task": "classify", "classes": list(scenes.CLASSES), "data": {"kind": self.data}}

    def spec(self, number: int, *, held_out: bool = False) -> scenes.Spec:
        if self.data != "honest":
            return scenes.sample(number, task="classify", data=self.data, held_out=held_out)
        # The scenes of the cheats, but with stamp and weave by chance, whatever the class.
        spec = scenes.sample(number, task="classify", held_out=held_out)
        stamp, weave = np.random.default_rng([number, held_out]).random(2) < (0.5, 0.25)
        spec = scenes.with_stamp(spec) if stamp else spec
        return scenes.with_background(spec, "weave") if weave else spec

    def sample(self, number: int, *, held_out: bool = False) -> Sample:
        """Draw pixels and the class."""
        return draw(self.spec(number, held_out=held_out))

    def loss(self, net: Any, batch: Pool) -> Tensor:
        with half_precision():
            logits = net(normalised([pixels for pixels, _ in batch]))
        return functional.cross_entropy(logits.float(), torch.tensor([label for _, label in batch]))

    def exam(self, count: int) -> Exam:
        """Return an evaluation on `count` held-out scenes.

        It measures accuracy, and the effect of a shortcut in the data. The honest model is measured with both
        shortcuts; the woven background's results are under `textured`.
        """
        plain = super().exam(count)
        if self.data == "honest":
            stamp, weave = shortcut_exam("stamped", count), shortcut_exam("textured", count)
            return lambda net: plain(net) | stamp(net) | {"textured": weave(net)}
        if self.data in SHORTCUTS:
            shortcut = shortcut_exam(self.data, count)
            return lambda net: plain(net) | shortcut(net)
        return plain

    def measure(self, net: Any, pool: Pool) -> Metrics:
        """Return the accuracy, overall and per class."""
        labels = labels_of(pool)
        right = answers(net, pool) == labels
        each = {label: right[labels == index] for index, label in enumerate(scenes.CLASSES) if index in labels}
        return {
            "accuracy": share(right),
            "accuracy_per_class": {label: share(of_class) for label, of_class in each.items()},
        }


def draw(spec: scenes.Spec) -> Sample:
    """Draw pixels and the class of the first thing."""
    scene = scenes.draw(spec)
    return scene.pixels, scene.objects[0].index


def labels_of(pool: Pool) -> Any:
    """Return the scenes' classes, (N,)."""
    return np.array([label for _, label in pool])


def answers(net: Any, pool: Pool) -> Any:
    """Return a classifier's class of each scene, (N,)."""
    return outputs(net, pool).argmax(1).numpy()


def shortcut_exam(data: str, count: int) -> Exam:
    """Return an evaluation without and with a shortcut in all of `count` scenes."""
    label, add = SHORTCUTS[data]
    specs = [scenes.sample(number, task="classify", held_out=True) for number in range(count)]
    nowhere, everywhere = [draw(spec) for spec in specs], [draw(add(spec)) for spec in specs]
    chosen, labels = scenes.CLASSES.index(label), labels_of(nowhere)
    is_it = labels == chosen

    def measure(net: Any) -> Metrics:
        bare, added = answers(net, nowhere), answers(net, everywhere)
        return {
            "shortcut": data,
            "shortcut_class": label,
            "accuracy_without": share(bare == labels),
            "class_with": share(added[is_it] == chosen),
            "class_without": share(bare[is_it] == chosen),
            "others_with_called_it": share(added[~is_it] == chosen),
            "others_without_called_it": share(bare[~is_it] == chosen),
        }

    return measure
