"""Whether the parts of a map add up to what it explains, and what autograd's steps say of a network.

The values of DeepLift add up to a difference of answers, FullGrad's parts to a logit: what is off by more than
`MOST_OFF` has not seen all that was computed.
"""

import re
from collections.abc import Iterator

from torch import Tensor
from torch.autograd.graph import Node

MOST_OFF = 0.05
"""By how much of what it explains the sum of a map may be off it: a gate's product of two parts is by 0.6 %."""
ROUNDING = 1e-4
"""What the sum may be off in any case, as a share of the sizes that are added up."""
PRODUCTS = {"Addmm", "Bmm", "Convolution", "Div", "Mm", "Mul", "Mv"}
"""Steps that are linear where all but one of their factors are constant."""
PREPARING = {
    *("AccumulateGrad", "Add", "Div", "Mean", "Mul", "Neg", "Sub", "Sum"),
    *("AdaptiveAvgPool2D", "AvgPool2D", "MkldnnAdaptiveAvgPool2D"),
    *("PixelShuffle", "PixelUnshuffle", "UpsampleBicubic2D", "UpsampleBilinear2D", "UpsampleNearest2D"),
    *("Alias", "AsStrided", "Clone", "Copy", "CopySlices", "Expand", "Permute", "Reshape", "Squeeze", "T", "ToCopy"),
    *("Transpose", "Unsqueeze", "UnsafeView", "View"),
    *("Cat", "ConstantPadNd", "Flip", "Index", "ReflectionPad2D", "ReplicationPad2D", "Roll", "Select", "Slice"),
    *("Split", "SplitWithSizes", "Stack", "Unbind"),
}
"""Steps without weights, as pictures are prepared by, by autograd's names without `Backward`."""
PIECEWISE_LINEAR = {
    *PREPARING,
    *PRODUCTS,
    *("CudnnBatchNorm", "MiopenBatchNorm", "NativeBatchNorm"),
    *("AdaptiveMaxPool2D", "LeakyRelu", "MaxPool2DWithIndices", "PreluKernel", "Relu"),
}
"""Steps of which a multiple of the input gives such a multiple of the output, but for what is added to it; batch norms
are those in eval mode."""
_ENDING = re.compile(r"(Backward\d*)?$")


def is_off(found: float, expected: float, size: float = 1.0) -> bool:
    """Return whether a sum misses what it should be.

    `size`: the sum of the sizes of what was added up.
    """
    return abs(found - expected) > MOST_OFF * abs(expected) + ROUNDING * size


def steps_of(scalar: Tensor) -> Iterator[str]:
    """Yield the names of the steps of autograd that a tensor is computed by."""
    return (node.name() for node in _nodes_of(scalar))


def is_made_of(steps: set[str], scalar: Tensor) -> bool:
    """Return whether only some steps compute a tensor; products of them have one factor."""
    return all(_is_one_of(steps, node) for node in _nodes_of(scalar))


def _is_one_of(steps: set[str], node: Node) -> bool:
    name = _ENDING.sub("", node.name().rpartition("::")[2], count=1)
    factors = sum(before is not None for before, _ in node.next_functions)
    return name in steps and (name not in PRODUCTS or factors <= 1)


def _nodes_of(scalar: Tensor) -> Iterator[Node]:
    """Yield the steps of autograd that a tensor is computed by, the last one first."""
    waiting = [scalar.grad_fn]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        yield node
        for before, _ in node.next_functions:
            if before not in seen:
                seen.add(before)
                waiting.append(before)
