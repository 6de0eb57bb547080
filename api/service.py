"""From a request to the engine and back: nothing is computed here that the library does not compute."""

from __future__ import annotations

import base64
import io
import json
import logging
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from api.limits import each, expected, room, stopped, useful
from api.problems import Refused, finite
from api.schemas import ClassRequest, DetectRequest
from common.errors import ImageProblem, ModelProblem, TooLarge
from models import weights

if TYPE_CHECKING:
    import threading

    from numpy.typing import NDArray

    from api.schemas import CompareRequest, ExplainRequest, Settings
    from explain.comparison import Comparison
    from explain.explainer import Explainer
    from explain.explanation import Explanation
    from explain.export.result_folder import MapColours
    from explain.picture.image import Image
    from models.adapter import ModelSpec

    Explaining = ExplainRequest | DetectRequest | ClassRequest

LOGGER = logging.getLogger(__name__)
FEWER = "ask for fewer (top_k, targets, classes), for maps=none without overlay,"


def known(name: str) -> ModelSpec:
    """A model of the catalogue whose weights are here. Raises Refused, 404, for any other."""
    from models.catalog import available, catalog, spec

    if name not in catalog():
        try:
            spec(name)
        except ModelProblem as error:
            raise Refused(404, "model", str(error)) from error
        raise Refused(404, "model", f"{name} is not in the catalogue: GET /api/models lists what can be asked here.")
    found = catalog()[name]
    if not available(found):
        words = f"The weights of {name} are not on this machine, and no request fetches them: choose a model that is."
        raise Refused(404, "weights", words)
    return found


def loaded(name: str, settings: Settings) -> Explainer:
    """The model, resident. Raises Refused where it is not to be had without a download."""
    known(name)
    from explain.explainer import Explainer

    return Explainer(name, device=settings.device)


def opened(data: bytes, name: str | None, settings: Settings) -> Image:
    """The picture. Raises Refused: 413 for what is too large, 415 for what is no picture, 422 for a damaged one."""
    from explain.picture.decode import kind_of
    from explain.picture.image import Image
    from explain.picture.planes import KINDS

    if len(data) > settings.max_bytes:
        most = f"{settings.max_bytes / 2**20:.3g} MiB"
        raise Refused(413, "size", f"The picture holds {len(data):,} bytes and {most} are taken: send a smaller one.")
    try:
        return Image.open(data, name=name or "picture", max_bytes=settings.max_bytes)
    except TooLarge as error:
        raise Refused(413, "size", str(error)) from error
    except ImageProblem as error:
        words = str(error)
    if data and not data.startswith(KINDS):
        try:
            kind_of(data, "picture")
        except ImageProblem:
            raise Refused(415, "image", words) from None
    raise Refused(422, "image", words)


def explained(
    request: Explaining, settings: Settings, cancel: threading.Event | None = None, *, alone: bool = False
) -> Explanation:
    """What the library makes of a request; `cancel` stops it. `alone`: one map of it is sent, and nothing else.

    Raises Problem, one sentence; Refused, 413, where its maps would be more than an answer holds.
    """
    with weights.kept_in():
        given, _ = options(request), look(request)
        image = opened(request.image, request.name, settings)
        name = request.model or settings.model
        if isinstance(request, DetectRequest):
            from models.defaults import detector

            name = request.model or detector()
            if known(name).task != "detect":
                raise ModelProblem(f"{name} draws no boxes: ask /api/explain, or name a detector.")
        explainer = loaded(name, settings)
        useful(request, explainer)
        if alone:
            room(image, 1, 1, "")
        else:
            room(image, expected(request, explainer), each(request), FEWER)
        stopped(cancel)
        made = explainer(image, cancel=cancel, question=request.question, **given)
    if not alone:
        room(image, len(made.heatmaps), each(request), FEWER)
    _counted(made)
    return made


def options(request: Explaining | CompareRequest) -> dict[str, Any]:
    """What was asked for as options of the engine; the rest is the engine's to choose."""
    from explain.methods import method
    from explain.options import Options

    names = {field.name for field in fields(Options)}
    given = {
        name: value
        for name in type(request).model_fields
        if name in names and (value := getattr(request, name)) not in (None, ())
    }
    if isinstance(request, ClassRequest):
        given["targets"] = given.pop("classes")
    if isinstance(request, DetectRequest):
        given.setdefault("per", "detection")
    if "method" in given:
        given["method"] = method(given["method"]).id
    return given


def compared(request: CompareRequest, settings: Settings, cancel: threading.Event | None = None) -> Comparison:
    """One picture through several models, as `python -m explain compare` has it."""
    from explain.comparison import Comparison
    from explain.evidence.timing import measure
    from models.defaults import compared as chosen

    with weights.kept_in():
        given, _ = options(request), look(request)
        for name in request.models:
            known(name)
        ids, names = chosen(request.models or (settings.model,))
        if request.confidence is not None and all(known(name).task != "detect" for name in ids):
            raise ModelProblem("None of these models draws boxes, so confidence would do nothing: leave it out.")
        image = opened(request.image, request.name, settings)
        # Also where none is sent: they are compared on the picture's own grid.
        room(image, len(ids), max(1, each(request)), "compare fewer models")
        made, timings = [], []
        for name in ids:
            stopped(cancel)
            explainer = loaded(name, settings)
            made.append(explainer(image, cancel=cancel, question=request.question, **given))
            timings.append(measure(made[-1].evidence))
            _counted(made[-1])
        return Comparison(tuple(made), names, tuple(timings))


def look(request: Explaining | CompareRequest) -> MapColours:
    from explain.export.result_folder import MapColours

    return MapColours(request.colormap, request.alpha)


def whole(
    explanation: Explanation,
    request: ExplainRequest | DetectRequest,
    settings: Settings,
    cancel: threading.Event | None = None,
) -> dict[str, Any]:
    """Everything of an explanation, as `results.Explained` or `results.Detected` has it."""
    from explain.detections import missed
    from explain.export import result_folder
    from explain.phrases import plain_text

    chosen = look(request)
    said = plain(result_folder.summary(explanation, chosen))
    every = range(len(explanation.heatmaps))
    said["heatmaps"] = [heatmap(explanation, i, request, chosen, cancel) for i in every]
    said |= {"width": explanation.image.width, "height": explanation.image.height}
    if isinstance(request, DetectRequest):
        # Of single detections a number is a box.
        single = explanation.options.per == "detection"
        asked = [one for one in request.targets if isinstance(one, str) or (isinstance(one, int) and not single)]
        said["missing"] = [plain_text(one.words) for one in missed(explanation, asked)]
    return said | {"monitor": watched(explanation, request.monitor, settings)}


def classes(
    explanation: Explanation, request: ClassRequest, settings: Settings, cancel: threading.Event | None = None
) -> dict[str, Any]:
    """What speaks for each class, as `results.Classes` has it."""
    from explain.export import class_files

    chosen = look(request)
    found = [
        plain(class_files.class_analysis(explanation, i))
        | {"heatmap": heatmap(explanation, i, request, chosen, cancel)}
        for i in range(len(explanation.heatmaps))
    ]
    return {
        "picture": explanation.image.name,
        "width": explanation.image.width,
        "height": explanation.image.height,
        "classes": found,
        "recipe": plain(explanation.recipe),
        "milliseconds": finite(explanation.milliseconds),
        "notes": explanation.notes,
        "monitor": watched(explanation, request.monitor, settings),
    }


def side_by_side(
    comparison: Comparison, request: CompareRequest, settings: Settings, cancel: threading.Event | None = None
) -> dict[str, Any]:
    """What models said and how far they agree, as `results.Comparison` has it."""
    from explain.export import comparison_folder

    chosen, said = look(request), plain(comparison_folder.comparison(comparison))
    for model, explanation in zip(said["models"], comparison.explanations, strict=True):
        model["heatmaps"] = [
            heatmap(explanation, i, request, chosen, cancel, pixels=i == 0) for i in range(len(explanation.heatmaps))
        ]
        model["monitor"] = watched(explanation, request.monitor, settings)
    return said


def heatmap(
    explanation: Explanation,
    index: int,
    request: Explaining | CompareRequest,
    chosen: MapColours,
    cancel: threading.Event | None = None,
    *,
    pixels: bool = True,
) -> dict[str, Any]:
    """One map, as `results.Mapped` has it. Raises Cancelled."""
    stopped(cancel)
    one = explanation.heatmaps[index]
    said = {
        "label": one.target.label,
        "method": one.method,
        "layers": one.layers,
        "state": one.state,
        "raw": one.raw_range,
        "scale": one.scale,
        "ends": one.ends,
        "seen": one.seen,
    }
    if pixels:
        lone = _lone(explanation, index)
        said |= encoded(lone.heatmaps[0].values, request.maps) if request.maps != "none" else {}
        stopped(cancel)
        said |= {"overlay": text(overlay(explanation, index, chosen, lone))} if request.overlay else {}
    return finite(said)  # type: ignore[no-any-return]


def encoded(values: NDArray[np.float32], maps: str, *, signed: bool = False) -> dict[str, str]:
    """A map as `png` or `npy` in base64; nothing for `none`."""
    if maps == "none":
        return {}
    if maps == "npy":
        return {"npy": text(npy(values))}
    return {"png": text(grey((values + np.float32(1)) / np.float32(2) if signed else values))}


def grey(values: NDArray[np.float32]) -> bytes:
    """float32 (H, W) in 0..1 as an 8-bit grey PNG."""
    import cv2

    # Pillow takes eight times as long for a file that is hardly smaller.
    done, data = cv2.imencode(
        ".png", np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    assert done
    return bytes(data)


def npy(values: NDArray[np.float32]) -> bytes:
    """An array in NumPy's format."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values, dtype=np.float32))
    return buffer.getvalue()


def _lone(explanation: Explanation, index: int) -> Explanation:
    """A copy with one map, to draw: as large as the picture a map stays with its owner, and goes with it."""
    return replace(explanation, heatmaps=(replace(explanation.heatmaps[index]),))


def overlay(explanation: Explanation, index: int, chosen: MapColours, lone: Explanation | None = None) -> bytes:
    """The picture under one map as a PNG that carries its recipe; `lone`: that map, where it is grown already."""
    from explain.export import embedded_recipe
    from explain.picture.image import to_png

    drawn = (lone or _lone(explanation, index)).overlay(0, colormap=chosen.colormap, alpha=chosen.alpha)
    view = embedded_recipe.view_of(explanation, index, colormap=chosen.colormap, alpha=chosen.alpha)
    return embedded_recipe.write(to_png(drawn), explanation.recipe, view)


def only(explanation: Explanation, kind: str, request: Explaining) -> bytes:
    """The first map alone, as `image/png` its overlay or as `application/x-npy` the map. Raises Refused for none."""
    if not explanation.heatmaps:
        from explain.findings.diagnosis import headline
        from explain.phrases import plain_text

        raise Refused(422, "map", plain_text(headline(explanation, "bright")))
    return overlay(explanation, 0, look(request)) if kind == "image/png" else npy(explanation.heatmaps[0].values)


def watched(explanation: Explanation, asked: bool | None, settings: Settings) -> dict[str, Any] | None:
    """What the monitor did with it; None where it is not to be watched. Never raises."""
    if not (settings.monitor if asked is None else asked):
        return None
    try:
        from explain.monitor import default

        entry = default().watch(explanation, source="api")
    except Exception as error:
        LOGGER.warning("an explanation could not be watched", exc_info=error)
        return {"logged": False, "why": [], "words": ["It could not be watched: the server's log says why."]}
    if entry is None:
        return {"logged": False, "why": [], "words": []}
    return {"logged": True, "id": entry.id, "why": list(entry.why), "words": list(entry.words)}


def text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def plain(value: Any) -> dict[str, Any]:
    """Plain values as JSON has them: what is not finite is null."""
    from explain.export.result_folder import to_json

    made: dict[str, Any] = json.loads(to_json(value))
    return made


def _counted(explanation: Explanation) -> None:
    from api import metrics

    recipe = explanation.recipe
    metrics.explained(recipe.model, recipe.method)
