"""The files of a comparison of several models on one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.common.files import Json, npz_bytes, to_json
from sightglass.explain.findings.diagnosis import answer
from sightglass.explain.phrases import describe_score, plain_text
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.rendering import contact_sheet
from sightglass.export.embedded_recipe import sealed_recipe
from sightglass.export.proof import files as proof_files
from sightglass.export.result_folder import MAPS, class_scores, label_stem, tagger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.rendering.style import Style
    from sightglass.export.result_folder import File


def of_comparison(compared: Comparison, style: Style, more: Json | None = None) -> Iterator[File]:
    """Yield the models' maps, each as a file and all on a sheet, their proofs, and comparison.json, which includes
    `more`."""
    panels, captions = [], []
    for i, explanation in enumerate(compared.explanations):
        if explanation.heatmaps:
            panels.append(explanation.overlay(0, colormap=style.colormap, alpha=style.alpha))
            data = tagger(explanation, style)(to_png(panels[-1]), 0)
            yield f"gradcam_{label_stem(explanation.model.id)}.png", data
            yield from _proof(explanation)
        else:
            panels.append(explanation.image.pixels)
        captions.append(plain_text(f"{compared.names[i]}: {' '.join(of_first(explanation))}"))
    # One file, one recipe: the first model's.
    yield "comparison.jpg", tagger(compared.explanations[0], style)(to_jpeg(contact_sheet.grid(panels, captions)), 0)
    yield (
        MAPS,
        npz_bytes({label_stem(e.model.id): m for e, m in zip(compared.explanations, compared.maps, strict=True)}),
    )
    yield "comparison.json", to_json(comparison(compared) | (more or {})).encode()


def _proof(explanation: Explanation) -> Iterator[File]:
    """Yield the proof of a model's first map, if it was proved."""
    if (proof := explanation.proofs.get(0)) is not None:
        for name, data in proof_files.files(explanation, 0, proof):
            yield f"{label_stem(explanation.model.id)}_{name}", data


def of_first(explanation: Explanation) -> tuple[str, str]:
    """Return the label of the first map's target and its score; without a map the model's answer."""
    if not explanation.heatmaps:
        return answer(explanation), ""
    target = explanation.heatmaps[0].target
    if target.index is None:
        return target.label, ""
    sure = max((p.score for p in explanation.own(0)), default=None)
    score = class_scores(explanation)[target.index] if sure is None else sure
    return target.label, describe_score(score, explanation.model, target.label)


def comparison(compared: Comparison) -> Json:
    """Return the answers of several models on one picture and their agreement, ready for `to_json`."""
    every = range(len(compared.names))
    return {
        "picture": compared.explanations[0].image.name,
        "verdict": compared.verdict,
        "fastest": compared.fastest,
        "common": compared.common,
        "models": [
            {"name": name, "timing": timing, **explanation.summary(), "recipe": sealed_recipe(explanation)}
            for name, timing, explanation in zip(compared.names, compared.timings, compared.explanations, strict=True)
        ],
        "agreement": [[compared.agreement(a, b) for b in every] for a in every],
    }
