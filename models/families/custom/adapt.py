"""Probe modules, and choose their adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sightglass.models import labels
from sightglass.models.adapters.segmenter import Segmenter
from sightglass.models.families.custom.classifier import (
    CustomClassifier,
    CustomDepth,
    CustomEmbedder,
    CustomSegmenter,
)
from sightglass.models.families.custom.probe import Probed
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

CustomAdapter = CustomClassifier | CustomEmbedder | CustomSegmenter | CustomDepth


def make_adapter(
    spec: ModelSpec, seen: Probed, sha256: str, notes: tuple[str, ...] = (), names_in_file: Sequence[str] = ()
) -> CustomAdapter:
    """Return the adapter of a probed module."""
    spec = spec.as_segmentation() if seen.task == "segment" else replace(spec, task=seen.task)
    notes += seen.notes
    names: tuple[str, ...] = ()
    if seen.task != "embed":
        usual = labels.imagenet()
        if seen.task == "segment":
            usual = labels.voc() if spec.in_memory else ()
        names, more = labels.for_classes(spec, seen.count, names_in_file, usual, binary=seen.binary)
        notes += more if seen.task == "segment" or not spec.in_memory else ()
    if seen.why:
        notes += note_preprocessing(spec, seen.preprocessing, seen.why)
    kinds: dict[str, type[CustomAdapter]] = {"segment": CustomSegmenter, "embed": CustomEmbedder}
    kind = kinds.get(seen.task, CustomDepth if seen.pixels else CustomClassifier)
    adapter = kind(spec, seen.module, names, seen.preprocessing, sha256, notes=notes)
    adapter.kind = seen.kind
    if isinstance(adapter, Segmenter):
        adapter.step = seen.step
    return adapter


def note_preprocessing(spec: ModelSpec, preprocessing: Preprocessing, why: str) -> tuple[str, ...]:
    """Return a note on an inferred preprocessing; none where the row states all of it."""
    if spec.preprocessing.complete:
        return ()
    mean, say = ", ".join(f"{number:.3g}" for number in preprocessing.mean), spec.where_stated("preprocessing")
    return (f"Its preprocessing was inferred ({why}): {preprocessing}, mean {mean}; {say} states another.",)
