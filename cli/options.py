"""Options that several verbs share: what each is called and what it says in --help."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from common.errors import ModelProblem, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explain.explainer import Explainer

Verb = TypeVar("Verb", bound=Callable[..., int])
MODEL, MAP, BOXES, OUT = "What explains", "What the map is of", "Which boxes", "What comes out"


def _option(*names: str, help: str, panel: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


Pictures = Annotated[
    list[str], typer.Argument(metavar="PICTURE", help="Files: JPEG, PNG, WebP, HEIC, AVIF, TIFF and the like.")
]
Picture = Annotated[
    str, typer.Argument(metavar="PICTURE", help="A file: JPEG, PNG, WebP, HEIC, AVIF, TIFF and the like.")
]
Model = Annotated[
    str, _option("--model", "-m", metavar="ID", panel=MODEL, help="A model of `models list` \\[efficientnet-lite0].")
]
Device = Annotated[
    str, _option("--device", metavar="NAME", panel=MODEL, help="auto, cpu, cuda, cuda:N or mps \\[auto].")
]
Preprocessing = Annotated[
    str | None,
    _option(
        "--preprocessing",
        metavar="WAY",
        panel=MODEL,
        help="How the picture is fitted: trained, crop, squash, letterbox \\[trained]. It can change the answer.",
    ),
]
Words = Annotated[
    str | None,
    _option("--words", metavar="'A, B'", panel=MODEL, help="What a CLIP, a YOLO-World or a YOLOE looks for."),
]
Question = Annotated[
    str | None,
    _option(
        "--question",
        "-q",
        metavar="where|why",
        panel=MAP,
        help="Where is it, or why this class and not another: a part, a method and layers at once.",
    ),
]
Method = Annotated[
    str | None,
    _option(
        "--method",
        metavar="NAME",
        panel=MAP,
        help="gradcam, gradcam++, layercam, eigencam, scorecam, drise, occlusion, ... \\[the model's own].",
    ),
]
Layers = Annotated[
    list[str] | None,
    _option(
        "--target-layers",
        metavar="PATH,PATH",
        panel=MAP,
        help="Where in the model the map is taken; several are averaged. `models layers ID` lists them.",
    ),
]
Part = Annotated[
    str | None,
    _option(
        "--part",
        metavar="NAME",
        panel=MAP,
        help="What is explained: class, contrast; of a box also box, left, top, ..., objectness, mask, all \\[class].",
    ),
]
Masks = Annotated[
    int | None,
    _option(
        "--masks", metavar="N", panel=MAP, help="How often D-RISE hides the picture \\[800, of a classifier 1000]."
    ),
]
Head = Annotated[
    int | None,
    _option("--head", metavar="N", panel=MAP, help="Of --method attention: one head, from 0 \\[the mean of all]."),
]
TopK = Annotated[
    int | None,
    _option("--top-k", "--topk", "-k", metavar="N", panel=MAP, help="How many of the best get a map \\[5]."),
]
Classes = Annotated[
    list[str] | None,
    _option(
        "--class",
        "-c",
        metavar="NAME|INDEX",
        panel=MAP,
        help="A class to explain instead of the best ones; may be repeated.",
    ),
]
Scale = Annotated[
    str | None,
    _option(
        "--scale",
        metavar="own|shared",
        panel=MAP,
        help="Whether 1 is each map's hottest place or that of all \\[own].",
    ),
]
Colormap = Annotated[
    str, _option("--colormap", metavar="NAME", panel=OUT, help="inferno, viridis, jet, turbo, ... \\[inferno].")
]
Alpha = Annotated[
    float | None,
    _option("--alpha", metavar="0..1", panel=OUT, help="How much of the colours there is over the picture."),
]
Out = Annotated[
    Path | None,
    _option(
        "--out",
        "-o",
        metavar="FOLDER",
        panel=OUT,
        help="Where the files go; of several pictures into one folder each in it \\[explained/<picture>].",
    ),
]
Json = Annotated[bool, _option("--json", panel=OUT, help="JSON on stdout and nothing else there.")]
Npy = Annotated[
    bool, _option("--npy", panel=OUT, help="Also each map on the picture's own grid: .npy, float32 (H, W) in 0..1.")
]

Also = Annotated[
    list[str] | None,
    _option(
        "--also",
        metavar="svg,pdf,html,report,gif,mp4",
        panel=OUT,
        help="Also the figure as SVG or PDF, a report that opens offline or on paper, a clip through the layers.",
    ),
]

ScoreThr = Annotated[
    float | None,
    _option("--score-thr", metavar="0..1", panel=BOXES, help="Boxes whose score is lower are left out \\[0.25]."),
]
Iou = Annotated[
    float | None,
    _option("--iou", metavar="0..1", panel=BOXES, help="Of boxes that overlap more the weaker is left out \\[0.7]."),
]
Only = Annotated[
    list[str] | None,
    _option("--only", metavar="CLASS", panel=BOXES, help="Boxes of other classes are left out; may be repeated."),
]
Per = Annotated[
    str,
    _option(
        "--per", metavar="WHAT", panel=MAP, help="A map for each detection, class, or the whole picture \\[detection]."
    ),
]
Ratio = Annotated[
    float | None,
    _option(
        "--ratio", metavar="0..1", panel=MAP, help="With --per picture: the share of strongest candidates \\[0.02]."
    ),
]
Boxes = Annotated[
    list[int] | None,
    _option("--box", metavar="N", panel=MAP, help="One box by its place, the surest is 1; may be repeated."),
]
Candidates = Annotated[
    list[str] | None,
    _option("--candidate", metavar="N,CLASS", panel=MAP, help="A raw candidate, shown or not, as a recipe names it."),
]
Missing = Annotated[
    list[str] | None,
    _option(
        "--missing",
        metavar="X,Y",
        panel=MAP,
        help="What came nearest at a point, or in a rectangle X,Y,X,Y, in pixels of the picture: of --class or of any, "
        "why it is not shown, and its map.",
    ),
]
Place = Annotated[
    int | None,
    _option(
        "--box",
        metavar="N",
        panel=MAP,
        help="Of detectors: the first model's box N, the surest is 1, and the same object in the others.",
    ),
]
Examples = Annotated[
    list[str] | None,
    _option("--example", metavar="X,Y,X,Y=NAME", panel=MODEL, help="A box in the picture of what a YOLOE looks for."),
]
Within = Annotated[
    str | None,
    _option(
        "--within",
        metavar="WHAT",
        panel=OUT,
        help="Show the map in the picture, inside the boxes, there rescaled together (shared) or in each \\[picture].",
    ),
]
Renormalize = Annotated[
    bool, _option("--renormalize", panel=OUT, help="Show the map inside the boxes, rescaled in each: --within each.")
]
SaveAll = Annotated[
    bool, _option("--save-all", panel=OUT, help="Also a picture and a .npy of each box, and a sheet of them.")
]


def verb(app: typer.Typer, name: str, examples: str) -> Callable[[Verb], Verb]:
    """Register a function as a verb: its docstring is the help, paragraph by paragraph, and examples stand below."""

    def register(function: Verb) -> Verb:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        below = "[bold]Examples[/]\n\n\b\n" + inspect.cleandoc(examples).replace("[", "\\[")
        app.command(name, help=text, epilog=below)(function)
        return function

    return register


def given(**options: Any) -> dict[str, Any]:
    """Keyword arguments for an Explainer: what was said on the command line, the rest is the engine's to choose."""
    if options.get("layers"):
        options["layers"] = tuple(
            name.strip() for text in options["layers"] for name in text.split(",") if name.strip()
        )
    if options.get("method"):
        from explain.methods import method

        options["method"] = method(options["method"]).id
    for option, name in {"--score-thr": "confidence", "--iou": "iou"}.items():
        if (share := options.get(name)) is not None and not 0 <= share <= 1:
            raise Problem(f"{option} is {share:g}: it goes from 0 to 1.")
    if (share := options.get("ratio")) is not None and not 0 < share <= 1:
        raise Problem(f"--ratio is {share:g}: give a share of the candidates that is over 0 and at most 1.")
    return {name: value for name, value in options.items() if value not in (None, (), [])}


def counted(box: int) -> int:
    """A box's number, if there can be such a box."""
    if box < 1:
        raise Problem(f"--box is {box}: boxes are counted from 1, the surest first.")
    return box


def checked(explainer: Explainer, options: dict[str, Any]) -> None:
    """Raise ModelProblem for what no picture could mend, before the first is looked at."""
    from explain.questions import settings

    if options.get("layers") and not explainer.resident.gradients:
        raise ModelProblem(
            f"{explainer.model.id} only answers, no layer of it can be seen: leave --target-layers away."
        )
    if options.get("question"):
        settings(explainer.resident, options["question"])


def classes(names: Sequence[str] | None, labels: Sequence[str]) -> tuple[int, ...]:
    """Classes by name or index as indices; a name that is a number is a name. Raises ModelProblem with a suggestion."""
    from models.labels import class_index

    lowered = {label.lower() for label in labels}

    def read(text: str) -> int | str:
        return int(text) if text.lstrip("-").isdigit() and text.lower() not in lowered else text

    return tuple(dict.fromkeys(class_index(read(name), labels) for name in names or ()))
