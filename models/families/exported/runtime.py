"""Base class of runtimes for exported models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.models.preprocess import MAX_CHANNELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


class Runtime(nn.Module):
    """Base of the kinds of files; each implements `answer`."""

    kind = ""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.nbytes = path.stat().st_size
        self.metadata: Mapping[str, Any] = {}
        """The exporter's notes, as they stand in the file."""
        self.size: tuple[int, int] | None = None
        """(h, w) of the input where the file fixes it."""
        self.batch: int | None = None
        """Pictures that one pass takes, where the file fixes it."""
        self.channels_last = False
        """Whether the file wants (B, h, w, 3), as those made from TensorFlow do."""
        self.halved = False
        """Whether it wants float16."""
        self.outputs: tuple[str, ...] = ()
        """Names of the answers, where the file has them."""
        self.channels: int | None = None
        """Numbers of a pixel, where the file says it."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Runtime:
        """Do nothing: the runtime has its own weights, and follows the pictures to their device."""
        return self

    def forward(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Return the answers to (B, C, h, w), floats as float32, on the tensor's own device.

        Raises ModelProblem where the runtime refuses the tensor.
        """
        given = tensor.half() if self.halved else tensor
        given = given.permute(0, 2, 3, 1) if self.channels_last else given
        try:
            found = self.answer(given.contiguous())
        except (ModelProblem, torch.OutOfMemoryError):
            raise
        # Each runtime has errors of its own.
        except Exception as reason:
            message = next(iter(str(reason).strip().splitlines()[-1:]), type(reason).__name__)[:200].rstrip(".")
            shape = " x ".join(map(str, tensor.shape))
            raise ModelProblem(f"{self.path.name} does not take an input of {shape} ({message}).") from reason
        found = [out.to(tensor.device) for out in found]
        return tuple(out.float() if out.is_floating_point() else out for out in found)

    def answer(self, tensor: Tensor) -> Sequence[Tensor]:
        raise NotImplementedError

    def inside(self) -> nn.Module:
        """Return the same model as torch's modules, from the file's own input to its answers.

        Raises ModelProblem, the end of a sentence, where the modules cannot be made again.
        """
        raise ModelProblem(f"the inside of {self.kind} files is not read here")

    def _takes(self, shape: Sequence[Any], dtype: str) -> None:
        """Take over the input that the file declares; entries of `shape` that are no number are free."""
        if len(shape) != 4:
            raise ModelProblem(f"{self.path.name} takes an input of {len(shape)} dimensions: it should take pictures.")
        sides = [side if isinstance(side, int) and side > 0 else None for side in shape]
        few = [side is not None and side <= MAX_CHANNELS for side in sides]
        self.channels_last = sides[1] != 3 and few[3] and (sides[3] == 3 or not few[1])
        batch, *rest = sides
        channels, height, width = (rest[2], *rest[:2]) if self.channels_last else rest
        if channels is not None and channels > MAX_CHANNELS:
            raise ModelProblem(f"{self.path.name} takes {channels} channels, and a picture here has {MAX_CHANNELS}.")
        self.channels = channels
        if dtype not in ("float", "float32", "f32", "float16", "f16"):
            raise ModelProblem(f"{self.path.name} takes {dtype} numbers: export it with a float input.")
        self.halved = dtype.endswith("16")
        self.size = (height, width) if height and width else None
        self.batch = batch


def tensors(answer: Any) -> Iterator[Tensor]:
    """Yield every tensor in tuples, lists and dicts, in order; a dict's boxes, labels and scores in that order."""
    if isinstance(answer, Tensor):
        yield answer
    elif isinstance(answer, dict):
        for key in sorted(answer, key=lambda name: {"boxes": 0, "labels": 1, "scores": 2}.get(name, 3)):
            yield from tensors(answer[key])
    elif isinstance(answer, tuple | list):
        for part in answer:
            yield from tensors(part)


def pieces(tensor: Tensor, limit: int | None) -> Sequence[Tensor]:
    """Split (B, C, h, w) into as many pictures as one pass takes."""
    step = limit or len(tensor)
    return [tensor[start : start + step] for start in range(0, len(tensor), step)]


def pad(tensor: Tensor, batch: int | None) -> Tensor:
    """Repeat the last picture until there are as many as a fixed batch wants."""
    short = (batch or 0) - len(tensor)
    return torch.cat((tensor, tensor[-1:].expand(short, -1, -1, -1))) if short > 0 else tensor
