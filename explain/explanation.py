"""The explanation of one picture by one model, and what can be derived from it without another pass."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import ModelProblem
from explain.evidence.attention import COMPUTED_OPENLY
from explain.evidence.determinism import own_modes
from explain.evidence.targets import UNSHOWN, decode, resolve, unshown
from explain.export import result_folder
from explain.findings.diagnosis import diagnose
from explain.maps import boxes
from explain.maps.heatmap import Heatmap, heatmaps
from explain.methods import attention, from_evidence
from explain.methods import method as find_method
from explain.methods.method import Method, RawMaps, Request
from explain.options import Options, Scale, Wanted
from explain.picture.image import Image
from explain.result import Result

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from explain.evidence.evidence import Evidence
    from explain.evidence.resident import Resident
    from explain.export.figure import Format
    from explain.faithfulness.proof import Proof
    from explain.findings.finding import Finding
    from explain.progress import Progress

FIGURES: dict[str, Format] = {"png": "png", "jpg": "jpg", "jpeg": "jpg", "svg": "svg", "pdf": "pdf"}
"""The kind of figure by the ending of its file."""


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Result):
    """What a model predicts for a picture, and the heatmaps that explain it.

    The `with_` methods reuse its Evidence, so quick methods, other targets and options need no model pass.

    >>> from explain import Explainer
    >>> explanation = Explainer()("bus.jpg", top_k=2)
    >>> explanation.with_method("hirescam").heatmaps[0].method, explanation.overlay().shape
    ('hirescam', (1080, 810, 3))
    """

    @property
    def diagnosis(self) -> tuple[Finding, ...]:
        """The limitations of the first map, in plain words, most serious first; also those that its proof shows."""
        return diagnose(self)

    def with_method(
        self, name: str, *, progress: Progress | None = None, cancel: threading.Event | None = None
    ) -> Explanation:
        """Explain the same targets by another method, named by its id or its paper; only slow ones run the model.

        Raises ModelProblem for an unknown method, and for one that cannot explain this model.
        """
        return self._again(replace(self.options, method=find_method(name).id), progress, cancel)

    @own_modes()
    def with_methods(self, *names: str) -> tuple[Explanation, ...]:
        """Explain the same targets by several methods, in their order; shared gradients are computed once."""
        methods = [find_method(name) for name in names]
        from_evidence.compute(
            self.evidence, [one for one in methods if one.quick], [heatmap.target for heatmap in self.heatmaps]
        )
        return tuple(self.with_method(one.id) for one in methods)

    def with_targets(self, *targets: Wanted) -> Explanation:
        """Explain other targets by the same method; they are named as in `Options.targets`."""
        return self._again(replace(self.options, targets=targets), None, None)

    def with_options(self, **changed: Any) -> Explanation:
        """Explain again with other options that need no model pass: per, part, ratio, classes, within, confidence, iou,
        targets, top_k."""
        return self._again(replace(self.options, **changed), None, None)

    def with_scale(self, scale: Scale) -> Explanation:
        """Return the same maps, each on its `own` scale or all on one (`shared`)."""
        return self._again(replace(self.options, scale=scale), None, None)

    def _again(self, options: Options, progress: Progress | None, cancel: threading.Event | None) -> Explanation:
        return explain(
            self.image, self.evidence, options, notes=self.notes, milliseconds={}, progress=progress, cancel=cancel
        )

    @own_modes()
    def by_head(self, index: int = 0, layer: int = 0, scale: Scale = "own") -> tuple[Heatmap, ...]:
        """Return a heatmap for each head of one attention layer; `layer` counts among this explanation's layers.

        The same for every class. Runs the model once where no map of that attention was made yet.
        """
        target = self._map(index).target
        maps = attention.heads(self.evidence, target)
        path, raw = [*maps.items()][layer]
        named = [replace(target, label=f"head {number}") for number in range(len(raw))]
        geometry = self.evidence.geometry
        return heatmaps([raw], named, method="attention", layers=(path,), geometry=geometry, scale=scale)

    def prove(self, index: int | str = 0, **options: Any) -> Proof:
        """Hide, and keep, the hottest shares of a map and of control maps, and follow the answer.

        Takes the options of `explain.faithfulness.prove.prove`: steps, fillings, progress, cancel, partial. The proof
        is also put into `proofs`, so that reports and records made afterwards carry it.
        """
        from explain.faithfulness.prove import prove

        made = prove(self, index, **options)
        self.proofs[self.heatmaps.index(self._map(index))] = made
        return made

    def save(self, path: str | Path) -> Path:
        """Write figure, overlays, heatmaps, raw maps, statistics, summary and recipe into a folder.

        The layout is that of `python -m explain`; all files are written, or none. A path that ends in .png, .jpg, .svg
        or .pdf is a file instead, which gets the figure of the first map, and one in .html gets the report of all maps.
        Returns the path. Raises OSError, or ModelProblem for a folder's path that is a file.
        """
        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind == "html" and not path.is_dir():
            from explain.export import html_report

            path.write_text(html_report.html([self]), "utf-8")
        elif kind in FIGURES and not path.is_dir():
            from explain.export import figure

            path.write_bytes(figure.figure(self, format=FIGURES[kind]))
        else:
            result_folder.check(path)
            result_folder.save(self, path)
        return path

    def _repr_html_(self) -> str:
        """Show the interactive report, as a notebook does with the last value of a cell."""
        from explain.export import notebook

        return notebook.frame([self])

    def summary(self) -> dict[str, Any]:
        """Return predictions, statistics and findings as plain values, ready for JSON."""
        return result_folder.facts(self)


@own_modes()
def explain(
    image: Image,
    evidence: Evidence,
    options: Options,
    *,
    milliseconds: dict[str, float],
    notes: tuple[str, ...] = (),
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    partial: Callable[[Explanation], None] | None = None,
    maps: bool = True,
) -> Explanation:
    """Decode predictions and compute heatmaps from Evidence.

    `partial` is called about once a second with the unfinished explanation of a method that refines its map (D-RISE).
    `maps` False: predictions only.
    """
    method = method_of(evidence.resident, options)
    start = time.perf_counter()
    predictions = decode(evidence, options)
    targets = resolve(options, predictions, evidence) if maps else []
    # Notes of an explanation that this one is derived from, without those on its method and targets.
    earlier = (note for note in notes if note != COMPUTED_OPENLY and not note.endswith(UNSHOWN))
    adapter = evidence.resident.adapter
    notes = tuple(dict.fromkeys((*earlier, *adapter.notes, *unshown(options, targets, evidence))))

    def assemble(raw: RawMaps, *, finished: bool = True) -> Explanation:
        took = (time.perf_counter() - start) * 1e3
        timings = {"prepare": 0.0, "model": 0.0} | milliseconds | {"maps": took}
        shown = heatmaps(
            raw.maps, targets, method=method.id, layers=raw.layers, geometry=evidence.geometry, scale=options.scale
        )
        every_note = (*notes, *raw.notes)
        made = Explanation(image, adapter.spec, predictions, shown, options, evidence, timings, every_note, finished)
        if options.within == "picture":
            return made
        confined = tuple(boxes.confined(heatmap, made.own(i), options.within) for i, heatmap in enumerate(shown))
        return replace(made, heatmaps=confined)

    if not targets:
        return assemble(RawMaps([], ()))
    unfinished = None if partial is None else lambda raw: partial(assemble(raw, finished=False))
    return assemble(method.run(evidence, targets, Request(options.masks, options.head, progress, cancel, unfinished)))


def method_of(resident: Resident, options: Options) -> Method:
    """Return the method to use; raises ModelProblem where the model cannot be explained by it."""
    spec, gradients = resident.adapter.spec, resident.gradients
    method = find_method(options.method or (spec.method if gradients else "drise"))
    if method.family != "mask" and not gradients:
        raise ModelProblem(f"{spec.id} only answers, no layer of it can be seen: use D-RISE or Occlusion.")
    if spec.task == "embed" and method.family in ("mask", "library"):
        raise ModelProblem(f"{method.name} asks for a class and {spec.id} predicts none: use GradCAM or EigenCAM.")
    return method
