"""From a model's outputs to its answers, and from options to targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem
from sightglass.models.adapter import Adapter, FunctionTarget, Prediction, Target
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.explain.result import Result


class Decoder:
    """Classes of one row of scores."""

    def decode(self, evidence: Evidence, options: Options) -> tuple[Prediction, ...]:
        """Return the predictions for these options, filtered by class."""
        adapter = evidence.resident.adapter
        listed = self.listed(adapter, options)
        settings: dict[str, Any] = {"top_k": listed, "confidence": options.confidence, "iou": options.iou}
        # Suppression takes longer than a map, and does not depend on method or target.
        if (cached := evidence.decoded) is None or cached[0] != settings:
            predictions = tuple(adapter.decode(evidence.outputs, evidence.geometry, **settings))
            adapter.check_answer(evidence.outputs)
            evidence.decoded = cached = settings, predictions
        only = {class_index(name, adapter.labels) for name in options.classes}
        return tuple(p for p in cached[1] if not only or p.index in only)

    def listed(self, adapter: Adapter, options: Options) -> int:
        """Return the number of decoded answers; raise ModelProblem for wrong filters."""
        if options.classes:
            raise ModelProblem(f"{adapter.spec.id} draws no boxes to leave out by class: name targets to explain.")
        return options.top_k

    def all_answers(self, result: Result) -> Sequence[Prediction]:
        """Return the answers for every class, best first; of boxes the shown ones."""
        count = len(result.evidence.resident.adapter.labels)
        if len(result.predictions) >= count:
            return result.predictions
        return self.decode(result.evidence, replace(result.options, top_k=count))

    def resolve(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        """Return the options' targets, or the best `top_k` predictions, signed if the options ask for it.

        Raises ModelProblem for what a model of this task has not.
        """
        functions = [_of_function(target) for target in options.targets if callable(target)]
        alone = len(functions) == len(options.targets) > 0
        targets = functions if alone else self.targets(options, predictions, evidence)
        return [replace(target, both_ways=True) for target in targets] if options.evidence == "both" else targets

    def targets(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        """Return the targets of options that name no function."""
        adapter = evidence.resident.adapter
        self.check_area(options, adapter)
        if options.per != "class":
            raise ModelProblem(f"{adapter.spec.id} is a classifier and has no boxes: explain a class.")
        return self.class_targets(options, predictions, adapter)

    def check_area(self, options: Options, adapter: Adapter) -> None:
        """Raise ModelProblem for options of a joint or a pixel."""
        check_joint(options, adapter)
        if options.per in ("region", "pixel") or options.at or options.against is not None:
            name = "at" if options.at else "against" if options.against is not None else f"per={options.per}"
            raise ModelProblem(f"{adapter.spec.id} gives no class to a pixel: leave {name} to a segmentation network.")

    def class_targets(self, options: Options, predictions: Sequence[Prediction], adapter: Adapter) -> list[Target]:
        """Return a target for each class."""
        indices = [class_index(target, adapter.labels) for target in options.targets]
        if not options.targets:
            indices = list(dict.fromkeys(prediction.index for prediction in predictions))[: options.top_k]
        return [
            Target(
                index,
                adapter.labels[index],
                tuple(p.anchor for p in predictions if p.index == index and p.anchor is not None),
                options.part,
            )
            for index in indices
        ]

    def unshown(self, options: Options, targets: Sequence[Target], evidence: Evidence) -> tuple[str, ...]:
        """Return notes on targets with a map but without an answer."""
        return ()

    def has_answer(self, result: Result, index: int) -> bool:
        """Return whether a known class can be compared with other models' maps."""
        # Without a box or a pixel of the class there is nothing to explain.
        return result.task.granularities == ("class",) or any(p.index == index for p in result.predictions)

    def options_of(self, index: int | None = None, anchor: int | None = None) -> dict[str, Any]:
        """Return the options that explain one answer; without an index those of the best one."""
        return {} if index is None else {"targets": (index,)}

    # Pixels

    def classes_at(self, evidence: Evidence) -> NDArray[np.int64] | None:
        """Return the class of each pixel, (H, W); None for other tasks."""
        return None

    def numbers_at(self, evidence: Evidence) -> NDArray[np.float32] | None:
        """Return the number of each pixel, (H, W); None for other tasks."""
        return None

    def pixels_at(self, evidence: Evidence, target: Target) -> NDArray[np.bool_] | None:
        """Return a target's pixels in the picture, bool (H, W), or None."""
        adapter: Any = evidence.resident.adapter
        if adapter.has_row:
            return None
        pixels: NDArray[np.bool_] = adapter.pixels_at(evidence.outputs, evidence.geometry, target)
        return pixels


def check_joint(options: Options, adapter: Adapter) -> None:
    """Raise ModelProblem if the options name a joint without a pose model."""
    if options.joint is not None and not adapter.joints:
        raise ModelProblem(f"{adapter.spec.id} finds no joints: leave joint to a pose network such as yolo11n-pose.")


def _of_function(function: Callable[[Any], Any]) -> Target:
    name = getattr(function, "__name__", type(function).__name__)
    return FunctionTarget(None, "your function" if name == "<lambda>" else name, function=function)
