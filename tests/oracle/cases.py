"""A value of each option that changes the answer, a wrong one, and why some options are not taken somewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CLASSES, BOXES, PIXELS, NUMBERS = "demo-cls-s", "demo-s", "demo-seg", "demo-regress"
WORDS, ANSWERS, ATTENTION = "demo-clip", "demo-vlm", "demo-vit"
POINT = (100.0, 80.0)


@dataclass(frozen=True)
class Case:
    """A call with an option; without it, or with another value, the answer is another."""

    option: str
    model: str
    value: Any
    others: Mapping[str, Any] = field(default_factory=dict)
    """Options that it needs."""
    refused: bool = False
    """Whether no packaged model takes the option: then all doors say why in the same sentence."""

    @property
    def given(self) -> dict[str, Any]:
        return {"model": self.model, **self.others, self.option: self.value}


CASES = (
    Case("model", ATTENTION, ATTENTION),
    Case("device", CLASSES, "cpu"),
    Case("question", CLASSES, "why"),
    Case("method", CLASSES, "hirescam"),
    Case("layers", CLASSES, ("layer2", "layer3")),
    Case("targets", CLASSES, ("ball-stripes",)),
    Case("top_k", BOXES, 2, {"confidence": 0.1}),
    Case("scale", BOXES, "shared"),
    Case("preprocessing", CLASSES, "squash"),
    Case("confidence", BOXES, 2 / 3),
    Case("iou", BOXES, 0.95),
    Case("per", BOXES, "detection"),
    Case("per", PIXELS, "pixel", {"at": POINT}),
    Case("at", PIXELS, (20.5, 30.0, 90.0, 80.0)),
    Case("against", PIXELS, "star", {"at": POINT, "per": "region"}),
    Case("joint", BOXES, "nose x", refused=True),
    Case("part", BOXES, "left"),
    Case("evidence", CLASSES, "both"),
    Case("smooth", CLASSES, "flips"),
    Case("ratio", BOXES, 0.1, {"per": "picture"}),
    Case("classes", BOXES, ("gear",)),
    Case("within", BOXES, "each"),
    Case("vocabulary", WORDS, ("red star", "ball")),
    Case("examples", BOXES, (((20.0, 30.0, 90.0, 80.0), "thing"),), refused=True),
    Case("prompt", ANSWERS, "what colour is the ball ?", {"answer": "the ball is red ."}),
    Case("answer", ANSWERS, "there is a red star ."),
    Case("masks", CLASSES, 16, {"method": "occlusion"}),
    Case("head", ATTENTION, 1, {"method": "attention"}),
    Case("colormap", CLASSES, "jet"),
    Case("alpha", CLASSES, 0.3),
    Case("mode", CLASSES, "blend"),
)
WRONG = (
    Case("model", "nope", "nope"),
    Case("device", CLASSES, "nope"),
    Case("question", NUMBERS, "why"),
    Case("method", CLASSES, "nope"),
    Case("layers", CLASSES, ("nope",)),
    Case("targets", CLASSES, ("nope",)),
    Case("top_k", BOXES, 0),
    Case("scale", BOXES, "nope"),
    Case("preprocessing", CLASSES, "half"),
    Case("confidence", BOXES, 1.5),
    Case("iou", BOXES, -1.0),
    Case("per", BOXES, "region"),
    Case("at", PIXELS, (1.0, 9999.0)),
    Case("against", PIXELS, "nope"),
    Case("joint", BOXES, "nope"),
    Case("part", CLASSES, "box"),
    Case("evidence", CLASSES, "nope"),
    Case("smooth", CLASSES, "nope"),
    Case("ratio", BOXES, 2.0),
    Case("classes", BOXES, ("nope",)),
    Case("within", BOXES, "nope"),
    Case("vocabulary", CLASSES, ("ball",)),
    Case("examples", BOXES, (((20.0, 30.0, 90.0, 80.0), "thing"),)),
    Case("prompt", CLASSES, "what ?"),
    Case("answer", CLASSES, "a star ."),
    Case("masks", CLASSES, 0),
    Case("head", ATTENTION, 99, {"method": "attention"}),
    Case("colormap", CLASSES, "nope"),
    Case("alpha", CLASSES, 2.0),
    Case("mode", CLASSES, "nope"),
)

IN_A_RUN = "rarely of use for many pictures: `sightglass.batch.run` takes it"
OF_ONE = "a place or an object of one picture"
OF_SERVER = "of the server: `SIGHTGLASS_API_DEVICE`"
ONE_MAP = "one map is answered, of the best class or the named one"
ON_PICTURE = "a box around an example is given to the command line, and in Python"
IN_WORDS = "a model that answers in words is asked about one picture at a time"
NOT_TAKEN: Mapping[str, Mapping[str, str]] = {
    "command": {},
    "batch": {
        "`--maps` says how many of the best classes have a map": "top_k",
        IN_A_RUN: "scale iou per ratio classes within masks head",
        OF_ONE: "at against joint examples",
        IN_WORDS: "prompt answer",
    },
    "run": {IN_WORDS: "prompt answer"},
    "JSON": {OF_SERVER: "device", ON_PICTURE: "examples"},
    "form": {OF_SERVER: "device", ON_PICTURE: "examples"},
    "guides": {OF_SERVER: "device", ON_PICTURE: "examples", ONE_MAP: "top_k scale"},
    "MCP": {
        OF_SERVER: "device",
        ONE_MAP: "top_k scale",
        "an assistant chooses a model, a class and a question; all else is as usual": "method layers preprocessing "
        "confidence iou per at against joint part evidence smooth ratio classes within vocabulary examples prompt "
        "answer masks head colormap alpha mode",
    },
    "page": {
        "of the server, which takes the best one that it has": "device",
        ON_PICTURE: "examples",
        "rarely of use in looking at a picture: files keep it, and a page says that it leaves it out": "smooth ratio",
    },
    "recipe": {"stored as what it sets: part, method and layers": "question"},
}
"""By door and reason, the options that are not declared, or always refused."""
