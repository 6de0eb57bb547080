"""Every method, in one table: what it is called, what it costs, where it comes from.

A method that is a function of Evidence takes one layer's activations and one target's gradient there and returns one
signed map (h, w): nothing is clipped or scaled here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import ModelProblem
from common.suggestions import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from explain.backward.gradient import Activation, Gradient
    from explain.evidence.resident import Resident


@dataclass(frozen=True, slots=True)
class Method:
    """One way of turning what a model computed into a map."""

    id: str
    name: str
    """As in its paper."""
    about: str
    """What it is, in a few words for a menu."""
    family: str
    """`gradient`, `eigen`, `attention`, `library` (slow; through the grad-cam library), or `mask` (slow; of the answers
    alone)."""
    gradients: bool
    per_class: bool
    """False where the map is the same whatever the class: it shows what stands out, not what speaks for the class."""
    cost: str
    """In forward passes of the model, roughly, for one class."""
    paper: str
    detectors: bool = True
    """False where it explains classifiers only."""

    @property
    def quick(self) -> bool:
        """Whether it is a function of Evidence, so that the model is not run again for it."""
        return self.family in ("gradient", "eigen")

    @property
    def slow(self) -> bool:
        return self.family == "mask" or (self.family == "library" and self.cost != "1")


_TABLE = (
    Method("gradcam", "GradCAM", "channels weighted by their mean gradient", "gradient", True, True, "0",
           "Selvaraju et al. 2017, arXiv:1610.02391"),
    Method("gradcam++", "GradCAM++", "weights lean to strong positive gradients", "gradient", True, True, "0",
           "Chattopadhay et al. 2018, arXiv:1710.11063"),
    Method("hirescam", "HiResCAM", "gradient times activation, place by place", "gradient", True, True, "0",
           "Draelos & Carin 2020, arXiv:2011.08891"),
    Method("xgradcam", "XGradCAM", "gradients weighted by normalised activation", "gradient", True, True, "0",
           "Fu et al. 2020, arXiv:2008.02312"),
    Method("layercam", "LayerCAM", "only positive gradients; good in early layers", "gradient", True, True, "0",
           "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943"),
    Method("eigencam", "EigenCAM", "what stands out, whatever the class", "eigen", False, False, "0",
           "Muhammad & Yeasin 2020, arXiv:2008.00299"),
    Method("eigengradcam", "EigenGradCAM", "main direction of gradient times activation", "eigen", True, True, "0",
           "the grad-cam library, after arXiv:2008.00299"),
    Method("gradcamelementwise", "GradCAMElementWise", "positive gradient times activation, by place", "library",
           True, True, "1", "the grad-cam library"),
    Method("finercam", "FinerCAM", "why this class and not its neighbours", "library", True, True, "1",
           "Zhang et al. 2025, arXiv:2501.11309"),
    Method("shapleycam", "ShapleyCAM", "GradCAM with a second-order correction", "library", True, True, "1",
           "Cai 2025, arXiv:2501.06261", detectors=False),
    Method("kpcacam", "KPCA-CAM", "EigenCAM with a kernel; whatever the class", "library", False, False, "1",
           "Karmani et al. 2024, arXiv:2410.00267"),
    Method("fullgrad", "FullGrad", "input and bias gradients of all layers", "library", True, True, "3",
           "Srinivas & Fleuret 2019, arXiv:1905.00780", detectors=False),
    Method("scorecam", "ScoreCAM", "masks the picture with every channel; slow", "library", False, True, "channels",
           "Wang et al. 2020, arXiv:1910.01279"),
    Method("ablationcam", "AblationCAM", "removes every channel in turn; slow", "library", False, True, "channels",
           "Desai & Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360"),
    Method("attention", "Attention", "what one layer's attention weighs, whatever the class", "attention", False, False,
           "1", "Vaswani et al. 2017, arXiv:1706.03762", detectors=False),
    Method("rollout", "Rollout", "attention through all layers, whatever the class", "attention", False,
           False, "1", "Abnar & Zuidema 2020, arXiv:2005.00928", detectors=False),
    Method("chefer", "Chefer", "attention weighed by its gradient, through all layers", "attention", True, True, "3",
           "Chefer et al. 2021, arXiv:2103.15679", detectors=False),
    Method("drise", "D-RISE", "hides the picture at random; any model; slow", "mask", False, True, "800",
           "Petsiuk et al. 2021, arXiv:2006.03204; of classifiers RISE, arXiv:1806.07421"),
    Method("occlusion", "Occlusion", "hides one place after another; any model; slow", "mask", False, True, "196",
           "Zeiler & Fergus 2014, arXiv:1311.2901"),
)  # fmt: skip
METHODS = {method.id: method for method in _TABLE}


def method(name: str) -> Method:
    """Look a method up by id or by its paper's name, in any case; raises ModelProblem with a suggestion."""
    wanted = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    if wanted in METHODS:
        return METHODS[wanted]
    near = [METHODS[id].name for id in nearest(wanted, METHODS)]
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(METHODS)}."
    raise ModelProblem(f"There is no method called {name}: {hint}")


def offered(resident: Resident) -> tuple[Method, ...]:
    """The methods that can explain a loaded model, in the table's order."""
    task = resident.adapter.spec.task
    layers = {one.grid for one in resident.attentions}
    whole = layers - {None}
    # What multiplies all layers' attention needs them on one grid, over the whole picture.
    attending = {"attention"} if whole else set()
    attending |= {"rollout", "chefer"} if len(whole) == 1 == len(layers) else set()
    return tuple(
        method
        for method in METHODS.values()
        if (method.detectors or task != "detect")
        and (method.family == "mask" or resident.gradients)
        and (method.family != "attention" or method.id in attending)
        # What hides the picture, or asks for a class as other tools do, has none here.
        and (task != "embed" or method.family not in ("mask", "library"))
    )


def function(method: Method) -> Callable[[Activation, Gradient], Tensor]:
    """The maths of a method that needs only Evidence."""
    from explain.methods import eigen, gradient

    functions: dict[str, Callable[[Activation, Gradient], Tensor]] = {
        "gradcam": gradient.gradcam,
        "gradcam++": gradient.gradcam_plus_plus,
        "hirescam": gradient.hirescam,
        "xgradcam": gradient.xgradcam,
        "layercam": gradient.layercam,
        "eigencam": eigen.eigencam,
        "eigengradcam": eigen.eigengradcam,
    }
    return functions[method.id]
