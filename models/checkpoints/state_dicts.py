"""Fit a state dict to a module."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from sightglass.common.errors import WeightsProblem
from sightglass.models.checkpoints import architectures

Tensors = Mapping[str, Tensor]

_HEAD = re.compile(r"(^|\.)(\w*head\w*|\w*fc\d*|\w*classifier|logits?|out|output)(\.|$)")
"""Names of tensors of a last layer."""
_COUNTER = "num_batches_tracked"
"""End of the name of each BatchNorm's counter; unused here, and missing in old files."""


def rename(tensors: Tensors, state: Tensors) -> dict[str, Tensor]:
    """Rename tensors to a module's names, by removing or adding a prefix.

    Where a prefix is removed, tensors with another one (a loss, a second network) are left out.
    """
    names = set(state)

    def fits(beginning: str) -> int:
        return sum(key[len(beginning) :] in names for key in tensors if key.startswith(beginning))

    best = max(("", *common_prefixes(tensors)), key=fits)
    before = Counter(part for key in names for part in _beginnings(key))
    added = max(before, key=lambda part: sum(part + key in names for key in tensors), default="")
    if sum(added + key in names for key in tensors) > fits(best):
        return {added + key: tensor for key, tensor in tensors.items()}
    return {key.removeprefix(best): tensor for key, tensor in tensors.items() if key.startswith(best)}


def twins(tensors: Tensors, state: Tensors) -> tuple[str, ...]:
    """Return a note on networks with all tensors of a module that `rename` left out."""
    names = [key for key in state if not key.endswith(_COUNTER)]
    first, *others = [part for part in common_prefixes(tensors) if all(part + key in tensors for key in names)] or [""]
    if not others:
        return ()
    return (f"Its weights are those of {first[:-1]}; those of {' and '.join(o[:-1] for o in others)} were left out.",)


def common_prefixes(tensors: Tensors) -> tuple[str, ...]:
    """Return prefixes, up to a dot, that at least a third of the names have."""
    beginnings = Counter(part for key in tensors for part in _beginnings(key))
    return tuple(part for part, count in beginnings.items() if 3 * count >= len(tensors))


def _beginnings(key: str) -> list[str]:
    parts = key.split(".")[:-1][:3]
    return [".".join(parts[: i + 1]) + "." for i in range(len(parts))]


def count_classes(tensors: Tensors, module: nn.Module | None = None) -> int | None:
    """Return the number of classes by a module's or file's last layer."""
    if module is not None:
        kinds = (nn.Linear, nn.Conv2d)
        last = next((path for path, part in reversed([*module.named_modules()]) if isinstance(part, kinds)), "")
        weight = tensors.get(f"{last}.weight")
        # One of timm may have no last layer.
        return None if weight is None or getattr(module, "num_classes", None) == 0 else int(weight.shape[0])
    weights = [(key, tensor) for key, tensor in tensors.items() if key.endswith("weight")]
    matrices = [key for key, tensor in weights if tensor.ndim == 2 or tensor.shape[2:] == (1, 1)]
    # In files that are sorted by name the last tensor is not the last layer's.
    heads = [key for key in matrices if _HEAD.search(key)]
    return int(tensors[(heads or matrices)[-1]].shape[0]) if matrices else None


def input_side(tensors: Tensors, state: Tensors) -> int | None:
    """Return a square input's side by its position embeddings, or None if unchanged."""
    for key, patches in (("pos_embed", "patch_embed.proj.weight"), ("encoder.pos_embedding", "conv_proj.weight")):
        if key in tensors and key in state and tensors[key].shape != state[key].shape and patches in tensors:
            # Up to eight tokens, such as the class token, are no cells.
            counts = (tensors[key].shape[-2] - prefix for prefix in range(9))
            grid = next((math.isqrt(count) for count in counts if math.isqrt(count) ** 2 == count), None)
            return None if grid is None else grid * int(tensors[patches].shape[-1])
    return None


def new_stem(module: nn.Module, tensors: Tensors) -> None:
    """Adapt a module's first convolution to the file's number of channels."""
    first = next(((path, part) for path, part in module.named_modules() if isinstance(part, nn.Conv2d)), None)
    if first is None or (weight := tensors.get(f"{first[0]}.weight")) is None or weight.ndim != 4:
        return
    conv = first[1]
    if weight.shape[1] != conv.in_channels and conv.groups == 1 and weight.shape[2:] == conv.weight.shape[2:]:
        conv.in_channels = weight.shape[1]
        conv.weight = nn.Parameter(weight.clone())


def new_head(module: nn.Module, tensors: Tensors) -> str:
    """Replace a module's last layers by the file's; describe any assumption.

    It is empty where nothing was: the head is the library's, or one linear layer in a wrapper.
    """
    state = module.state_dict()
    last = next((path for path, part in reversed([*module.named_modules()]) if isinstance(part, nn.Linear)), "")
    for depth in range(last.count(".") + 1, 0, -1):
        path = ".".join(last.split(".")[:depth])
        head_tensors = {key: tensor for key, tensor in tensors.items() if key.startswith(f"{path}.")}
        of_module = {key for key in state if key.startswith(f"{path}.")}
        differ = {key for key in {*tensors} ^ {*state} if not key.endswith(_COUNTER)}
        if head_tensors and head_tensors.keys() != of_module and all(key.startswith(f"{path}.") for key in differ):
            head, linear = _build_head({key.removeprefix(f"{path}."): value for key, value in head_tensors.items()})
            if head is None:
                return ""
            parent, _, name = path.rpartition(".")
            module.get_submodule(parent).register_module(name, head)
            return f"Between the {linear} linear layers of {path} a ReLU was assumed." if linear > 1 else ""
    return ""


def _layer_of(group: Tensors) -> nn.Module:
    weight = group["weight"]
    if weight.ndim == 2:
        return nn.Linear(weight.shape[-1], len(weight), bias="bias" in group)
    norm = nn.BatchNorm1d if "running_mean" in group else nn.LayerNorm
    return norm(len(weight))


def _sequence_at(root: nn.Module, path: str) -> nn.Module:
    inner = root
    for part in path.split(".") if path else ():
        if part not in inner._modules:
            inner.add_module(part, nn.Sequential())
        inner = inner.get_submodule(part)
    return inner


def _build_head(tensors: Tensors) -> tuple[nn.Module | None, int]:
    """Build linear layers and norms from their tensors, with ReLUs between; return None for others, and how many."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        path, _, name = key.rpartition(".")
        groups.setdefault(path, {})[name] = tensor
    for path, group in groups.items():
        if re.search(r"[^.\w]", path) or "weight" not in group or group["weight"].ndim > 2:
            return None, 0
    linear = sum(group["weight"].ndim == 2 for group in groups.values())
    root = nn.Sequential()
    built = 0
    before = ""
    for (path, group), following in zip(groups.items(), [*[*groups][1:], ""], strict=True):
        layer = _layer_of(group)
        if not path:
            return layer, linear
        is_linear = isinstance(layer, nn.Linear)
        built += is_linear
        parent, _, name = path.rpartition(".")
        inner = _sequence_at(root, parent)
        inner.add_module(name, layer)
        is_normed = following and _next_path(path) == following and "running_mean" in groups[following]
        is_inside = 0 < built < linear
        if is_inside and not (is_linear and is_normed) and (is_linear or _next_path(before) == path):
            inner.add_module(f"{name}_relu", nn.ReLU())
        before = path
    return root, linear


def _next_path(path: str) -> str:
    """Return the path of the next layer of a `Sequential`; empty where the last part is no number."""
    parent, dot, name = path.rpartition(".")
    return f"{parent}{dot}{int(name) + 1}" if name.isdigit() else ""


def load_into(path: Path, tensors: Tensors, module: nn.Module, arch: str) -> tuple[str, ...]:
    """Load the tensors into the module; return sentences on those that were left out.

    Raises WeightsProblem, one sentence: which tensor, both shapes, and what would help.
    """
    state = module.state_dict()
    if problem := misfit(tensors, state):
        raise WeightsProblem(f"{path} does not fit {arch}: {problem}{_advice(tensors, state, arch)}.")
    left = sorted({key.partition(".")[0] for key in tensors if key not in state})
    state.update({key: tensor for key, tensor in tensors.items() if key in state})
    # With the version of its layout, without which torchvision's MNASNet takes no tensors.
    module.load_state_dict(state)
    return (f"Of the file {', '.join(left[:3])} was left out: the model has no such part.",) if left else ()


def misfit(tensors: Tensors, state: Tensors) -> str:
    """Describe the most telling misfit; empty where all tensors fit."""
    expected = [key for key in state if not key.endswith(_COUNTER)]
    missing = [key for key in expected if key not in tensors]
    if len(missing) == len(expected):
        first_name = next(iter(tensors))
        return f"none of its tensors has a name that the model knows (it has {first_name}, and not {missing[0]})"
    parts = {key.partition(".")[0] for key in state}
    unknown = [key for key in tensors if key not in state and not key.endswith(_COUNTER)]
    left = [key for key in unknown if key.partition(".")[0] in parts]
    differences: list[str] = []
    if missing:
        differences.append(f"it lacks {_summarise(missing)}")
    if left:
        differences.append(f"it has {_summarise(left)}, which the model has not")
    if differences:
        return " and ".join(differences)
    return _misfit_of_shapes(tensors, state)


def _misfit_of_shapes(tensors: Tensors, state: Tensors) -> str:
    """Describe the first tensor of another shape; empty without one."""
    keys = [key for key in state if key in tensors and tensors[key].shape != state[key].shape]
    if not keys:
        return ""
    first, *others = keys
    more = f" (and {len(others)} more)" if others else ""
    return f"{first} is {_shape(tensors[first])} in the file and {_shape(state[first])} in the model{more}"


def _summarise(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more"


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"


def _advice(tensors: Tensors, state: Tensors, arch: str) -> str:
    """Return the end of the sentence: what would help."""
    if any(key.endswith("zero_point") for key in tensors):
        return "; its weights are quantised: quantise the module alike, load the file into it, and give the module"
    names = architectures.identify(tensors)
    if names and arch not in (name.rpartition("/")[2] for name in names):
        return f'; these are the tensors of {short_name(names[0])}: say arch = "{short_name(names[0])}"'
    shapes = [key for key in state if key in tensors and tensors[key].shape != state[key].shape]
    in_file, in_model = count_classes(tensors), count_classes(state)
    if in_file != in_model and all(key.rpartition(".")[0] == shapes[0].rpartition(".")[0] for key in shapes) and shapes:
        return f": it was trained for {in_file} classes and the model is made for {in_model}"
    return "; give the arch, and its arguments (weights.args), that it was trained with"


def short_name(name: str) -> str:
    """Return an architecture's name without torchvision's prefix, which is the default."""
    return name.removeprefix("torchvision/")
