"""The table of all methods: their names, their cost and their papers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sightglass.common.errors import ModelProblem, nearest
from sightglass.explain.methods.method import GUIDED, Method
from sightglass.explain.phrases import listing
from sightglass.explain.tasks import Task, task_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.evidence.loaded_model import LoadedModel

_TABLE = (
    Method("gradcam", "GradCAM", "channels weighted by their mean gradient", "gradient",
           "Selvaraju et al. 2017, arXiv:1610.02391", "gradcam", linear=True, signed=True),
    Method("gradcam++", "GradCAM++", "weights lean to strong positive gradients", "gradient",
           "Chattopadhay et al. 2018, arXiv:1710.11063", "gradcam_plus_plus", signed=True),
    Method("hirescam", "HiResCAM", "gradient times activation, place by place", "gradient",
           "Draelos & Carin 2020, arXiv:2011.08891", "hirescam", linear=True, signed=True),
    Method("xgradcam", "XGradCAM", "gradients weighted by normalised activation", "gradient",
           "Fu et al. 2020, arXiv:2008.02312", "xgradcam", linear=True, signed=True),
    Method("layercam", "LayerCAM", "only positive gradients; good in early layers", "gradient",
           "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943", "layercam", signed=True),
    Method("eigencam", "EigenCAM", "what stands out, whatever the class", "eigen",
           "Muhammad & Yeasin 2020, arXiv:2008.00299", "eigencam", gradients=False, per_class=False),
    Method("eigengradcam", "EigenGradCAM", "main direction of gradient times activation", "eigen",
           "the grad-cam library, after arXiv:2008.00299", "eigengradcam"),
    Method("smoothgradcam++", "SmoothGradCAM++", "GradCAM++ by gradients of noisy pictures", "noise",
           "Omeiza et al. 2019, arXiv:1908.01224", passes=4),
    Method("pathgradient", "Path gradient", "gradients on the way from the mean of all places", "path",
           "Sundararajan et al. 2017, arXiv:1703.01365", passes=3, linear=True, signed=True, detectors=False),
    Method("gradcamelementwise", "GradCAMElementWise", "positive gradient times activation, by place", "library",
           "the grad-cam library", passes=1),
    Method("finercam", "FinerCAM", "why this class and not its neighbours", "library",
           "Zhang et al. 2025, arXiv:2501.11309", passes=1),
    Method("shapleycam", "ShapleyCAM", "GradCAM with a second-order correction", "library",
           "Cai 2025, arXiv:2501.06261", passes=1, detectors=False),
    Method("kpcacam", "KPCA-CAM", "EigenCAM with a kernel; whatever the class", "library",
           "Karmani et al. 2024, arXiv:2410.00267", passes=1, gradients=False, per_class=False),
    Method("fullgrad", "FullGrad", "input and bias gradients of all layers", "library",
           "Srinivas & Fleuret 2019, arXiv:1905.00780", passes=3, detectors=False),
    Method("scorecam", "ScoreCAM", "masks the picture with every channel; slow", "library",
           "Wang et al. 2020, arXiv:1910.01279", passes="channels", gradients=False),
    Method("ablationcam", "AblationCAM", "removes every channel in turn; slow", "library",
           "Desai & Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360", passes="channels", gradients=False),
    Method("attention", "Attention", "what one layer's attention weighs, whatever the class", "attention",
           "Vaswani et al. 2017, arXiv:1706.03762", passes=1, gradients=False, per_class=False, detectors=False),
    Method("rollout", "Rollout", "attention through all layers, whatever the class", "attention",
           "Abnar & Zuidema 2020, arXiv:2005.00928", passes=1, gradients=False, per_class=False, detectors=False),
    Method("chefer", "Chefer", "attention weighed by its gradient, through all layers", "attention",
           "Chefer et al. 2021, arXiv:2103.15679", passes=3, detectors=False),
    Method("queryattention", "Query attention", "what a box's own query read", "query",
           "Carion et al. 2020, arXiv:2005.12872; Zhu et al. 2021, arXiv:2010.04159", gradients=False, reads=True),
    Method("legrad", "LeGrad", "positive gradients of attention, layer by layer", "attention",
           "Bousselham et al. 2024, arXiv:2404.03214", passes=2, detectors=False),
    Method("saliency", "Saliency", "the size of the gradient, pixel by pixel", "pixel",
           "Simonyan et al. 2013, arXiv:1312.6034", passes=1),
    Method("inputxgradient", "Input x gradient", "the picture times its gradient, pixel by pixel", "pixel",
           "Shrikumar et al. 2016, arXiv:1605.01713", passes=1, signed=True),
    Method("integratedgradients", "Integrated Gradients", "gradients on the way from grey; sums to the score", "pixel",
           "Sundararajan et al. 2017, arXiv:1703.01365", passes=52, signed=True),
    Method("gradientshap", "GradientShap", "Integrated Gradients at random places, with noise", "pixel",
           "Lundberg & Lee 2017, arXiv:1705.07874", passes=32, signed=True),
    Method("smoothgrad", "SmoothGrad", "the size of the gradient, averaged over noise", "pixel",
           "Smilkov et al. 2017, arXiv:1706.03825", passes=32),
    Method("guidedbackprop", "Guided backprop", "positive gradients alone; draws edges", "pixel",
           "Springenberg et al. 2014, arXiv:1412.6806", passes=1),
    Method("guidedgradcam", "Guided GradCAM", "guided backprop where GradCAM is; draws edges", "pixel",
           "Selvaraju et al. 2017, arXiv:1610.02391", passes=1, weighed=True),
    Method("deeplift", "DeepLift", "differences from grey, by rules for activations", "pixel",
           "Shrikumar et al. 2017, arXiv:1704.02685", passes=3, signed=True),
    Method("sharp", "Sharp", "gradients on the way from a blurred picture, weighed by layers", "sharp",
           "of arXiv:1703.01365 and arXiv:1610.02391", passes=5, weighed=True),
    Method("tested", "Tested", "covers what six maps show, and keeps what costs the answer most", "tested",
           "after arXiv:1806.07421", passes=40, weighed=True),
    Method("drise", "D-RISE", "hides the picture at random; any model; slow", "mask",
           "Petsiuk et al. 2021, arXiv:2006.03204; of classifiers RISE, arXiv:1806.07421", passes=800, gradients=False,
           signed=True, otherwise="RISE"),
    Method("occlusion", "Occlusion", "hides one place after another; any model; slow", "mask",
           "Zeiler & Fergus 2014, arXiv:1311.2901", passes=196, gradients=False, signed=True),
    Method("randomcam", "RandomCAM", "a control: channels weighted at random, which is no evidence", "control",
           "the grad-cam library", "randomcam", gradients=False, per_class=False),
)  # fmt: skip
METHODS = {method.id: method for method in _TABLE}
SIMILARITY = tuple(method.id for method in _TABLE if method.family == "gradient")
"""Methods that can explain a similarity."""


def method(name: str) -> Method:
    """Return a method by id or paper name; raise ModelProblem with suggestions."""
    spelling = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    # torch-cam's and many scripts' spellings.
    spelling = re.sub("(plusplus|pp)$", "++", spelling)
    if spelling in METHODS:
        return METHODS[spelling]
    if spelling == "rise":
        return METHODS["drise"]
    near = [METHODS[id].name for id in nearest(spelling, METHODS)]
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(METHODS)}."
    raise ModelProblem(f"There is no method called {name}: {hint}")


def list_methods(loaded: LoadedModel) -> tuple[Method, ...]:
    """The methods that can explain a loaded model, in the table's order."""
    attending: set[str] = set()
    task = task_of(loaded.adapter)
    if loaded.gradients and not task.explains("detection"):
        if any(attention.grid for attention in loaded.survey.attentions):
            attending.add("attention")
        if loaded.attends_to_one_grid:
            attending |= {"rollout", "chefer", "legrad"}
    has_relu = loaded.gradients and any(map(_is_relu, loaded.adapter.module.modules()))
    usable = [method for method in METHODS.values() if has_relu or method.id not in GUIDED]
    return tuple(method for method in usable if _explains(method, task, loaded, attending))


def _explains(method: Method, task: Task, loaded: LoadedModel, attending: set[str]) -> bool:
    """Return whether a method can explain a model of a task.

    `attending`: the ids of methods whose attention the model has.
    """
    if method.family in task.unsupported_methods or (task.explains("detection") and not method.detectors):
        return False
    has_gradients = loaded.gradients or (method.layers_optional and loaded.adapter.gradients)
    if not has_gradients and method.family != "mask":
        return False
    if method.family == "attention":
        return method.id in attending
    if method.family == "query":
        return loaded.survey.queries is not None
    return method.family != "path" or loaded.adapter.takes_prompt


def _is_relu(module: object) -> bool:
    return any(kind.__name__ == "ReLU" for kind in type(module).__mro__)


_QUESTIONS = {
    "class": "Where is it?",
    "contrast": "Why this class?",
    "box": "Why this box?",
    "left": "Why its left side?",
    "top": "Why its top side?",
    "right": "Why its right side?",
    "bottom": "Why its bottom side?",
    "objectness": "Why an object?",
    "mask": "Why this mask?",
    "all": "Why this box and class?",
    "signed": "What raises it, what lowers it?",
    "lowers": "What lowers it?",
}
"""The question that a map of each part of a target answers."""


def describe_setup(model: str, method: str, layers: Sequence[str], part: str = "", task: str = "detect") -> str:
    """Describe a setup: `demo-cls-m, GradCAM at layer4 (Where is it?)`.

    `task`: the model's, where the method has another name on a detector.
    """
    listed = METHODS.get(method)
    place = f" at {listing(list(layers))}" if layers and (listed is None or listed.at_layers) else ""
    question = f" ({_QUESTIONS[part]})" if part in _QUESTIONS else ""
    return f"{model}, {listed.name_for(task) if listed else method}{place}{question}"
