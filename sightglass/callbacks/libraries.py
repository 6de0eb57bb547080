"""Hook a watcher into Ultralytics, Lightning and Keras.

`step` is what is called with the model and the number of an epoch once that has ended: `Watcher.step`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem
from sightglass.models.families.keras.network import keras

if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[[Any, int], None]

_LIGHTNING = ("lightning.pytorch", "pytorch_lightning")
"""Its two names: a trainer of one takes no callback of the other."""


def attach_to_yolo(yolo: Any, step: Step) -> None:
    """Register a watcher for the end of each epoch of what a `YOLO` trains."""
    if not hasattr(yolo, "add_callback"):
        raise ModelProblem(f"A {type(yolo).__name__} has no add_callback: give a YOLO of Ultralytics.")

    begun: dict[str, int] = {}

    def begin(trainer: Any) -> None:
        begun["epoch"] = trainer.epoch

    def watch(trainer: Any) -> None:
        # It is called once more at the end, for the best weights, under the number of an epoch that never was.
        if trainer.epoch != begun.get("epoch", trainer.epoch):
            return
        ema = getattr(trainer, "ema", None)
        step(ema.ema if ema else trainer.model, trainer.epoch)

    yolo.add_callback("on_train_epoch_start", begin)
    yolo.add_callback("on_fit_epoch_end", watch)


def make_lightning_callback(step: Step) -> Any:
    """Return a callback of Lightning; raise ModelProblem where it is not installed."""
    name = next((name for name in _LIGHTNING if name in sys.modules), _LIGHTNING[0])
    try:
        base: Any = import_module(name).Callback
    except ImportError as error:
        raise ModelProblem("Lightning is not installed here: pip install lightning.") from error

    def on_train_epoch_end(_self: Any, trainer: Any, module: Any) -> None:
        step(module, trainer.current_epoch)

    return type("LightningWatcher", (base,), {"on_train_epoch_end": on_train_epoch_end})()


def make_keras_callback(step: Step) -> Any:
    """Return a callback of Keras; raise ModelProblem where it is missing or does not run on torch."""

    def on_epoch_end(self: Any, epoch: int, logs: Any = None) -> None:
        del logs
        step(self.model, epoch)

    return type("KerasWatcher", (keras().callbacks.Callback,), {"on_epoch_end": on_epoch_end})()
