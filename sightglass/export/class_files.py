"""Files that explain one class."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sightglass.common.files import Json, npy_bytes, to_json
from sightglass.explain.findings.diagnosis import describe_map, diagnose
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import describe_score, plain_text
from sightglass.export import command
from sightglass.export.embedded_recipe import sealed_recipe
from sightglass.export.result_folder import class_scores, label_stem, map_figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sightglass.explain.explanation import Explanation
    from sightglass.explain.rendering.style import Style
    from sightglass.export.result_folder import File


def of_class(explanation: Explanation, index: int, analysis: Json, style: Style) -> Iterator[File]:
    """Yield the files of one class: its map, and its `class_analysis`."""
    label = label_stem(explanation.heatmaps[index].target.label)
    yield f"gradcam_class_{label}.png", map_figure(explanation, index, style)
    yield f"gradcam_class_{label}.npy", npy_bytes(explanation.heatmaps[index].values)
    yield f"class_analysis_{label}.json", to_json(analysis).encode()


def class_analysis(explanation: Explanation, index: int) -> Json:
    """Return one class among all: its rank, its score, its map in numbers, the limitations of that map, and its
    agreement with the map of the best class. Ready for `to_json`; a fast method does not run the model again."""
    heatmap = explanation.heatmaps[index]
    target, scores = heatmap.target, class_scores(explanation)
    assert target.index is not None  # the target is a class
    best = max(range(len(scores)), key=scores.__getitem__)
    rank = 1 + sum(score > scores[target.index] for score in scores)
    agreement = None
    if best != target.index and METHODS[heatmap.method].quick:
        agreement = asdict(explanation.with_targets(target.index, best).agreement(0, 1))
    seal, recipe = explanation.known_seal(index), sealed_recipe(explanation)
    score = describe_score(scores[target.index], explanation.model, target.label)
    place = f"{target.label} is answer {rank} of {len(scores)}, {score}. "
    if explanation.model.measures:
        place = f"{target.label} is {score}. "
    return {
        "picture": explanation.image.name,
        "model": explanation.model.id,
        "headline": plain_text(place + describe_map(explanation, index)),
        "label": target.label,
        "index": target.index,
        "score": scores[target.index],
        "rank": rank,
        "classes": len(scores),
        "best": {"index": best, "label": explanation.evidence.resident.adapter.labels[best], "score": scores[best]},
        "same_place_as_best": agreement,
        "method": heatmap.method,
        "layers": heatmap.layers,
        "state": heatmap.state,
        "raw": heatmap.raw_range,
        "statistics": explanation.statistics[index],
        "seal": None if seal is None else seal.summary(),
        "diagnosis": [plain_text(finding.text) for finding in diagnose(explanation, index)],
        "recipe": recipe,
        "command": command.line(recipe),
    }
