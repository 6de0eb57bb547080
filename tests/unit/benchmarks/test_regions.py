"""The section of TRUTH.md on regions of a segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report import with_section
from benchmarks.truth.maps import evidence_of, resident
from benchmarks.truth.segmentation import (
    BLIND,
    LAYERS,
    MODEL,
    SHOWN,
    TARGETS,
    WRONG,
    Regions,
    find_default,
    find_regions,
    section,
    targets_of,
)
from sightglass.models.demo import scenes

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.bootstrap import Line

AT = {"date": "", "processor": "", "cores": 2, "system": "", "versions": {}, "load": 0.0, "threads": 0, "device": "cpu"}


def made(best: Line, worst: Line) -> Regions:
    """Return 30 regions on which one line is always right, one never, and all others by halves."""
    methods = [
        (name, layer, part) for name in ("hirescam", "gradcam") for layer in LAYERS for part in (*TARGETS, WRONG)
    ]
    lines = (*methods, *((name, "", "") for name in BLIND))
    values = np.tile(np.random.default_rng(0).random((30, 1, 1)) > 0.5, (1, len(lines), len(SHOWN))).astype(np.float32)
    values[:, lines.index(best)], values[:, lines.index(worst)] = 1, 0
    return Regions(lines, [*range(30)], ["rod-ring"] * 30, 4, values)


def test_the_section_names_the_winner_the_default_and_what_fails() -> None:
    default = find_default("where")
    text = section(made(default, ("gradcam", default[1], "class")), AT, 40)
    assert "Best mean rank of 42: **HiResCAM on layer2**, class" in text and "It is the default." in text
    assert "30 regions in 30 of 40 drawn scenes" in text and "4 are left out" in text
    assert "Fail on these layers: GradCAM." in text
    other = section(made(("gradcam", "stem", "rival"), default), AT, 40)
    assert "**GradCAM on stem**, rival" in other and "The default, **HiResCAM on layer2**, class, has place 42" in other


def test_it_is_written_beside_the_other_sections(tmp_path: Path) -> None:
    file = tmp_path / "TRUTH.md"
    file.write_text("<!-- scenes -->\n# Where\n\n<!-- scrambled -->\n## Maps\n", "utf-8")
    text = with_section(file, "segmentation", "## Regions\n")
    assert text.index("# Where") < text.index("## Regions") < text.index("## Maps")


def test_a_region_is_asked_about_its_class_and_its_rival_over_the_same_pixels() -> None:
    engine, found = resident(MODEL), []
    for number in range(6):
        scene = scenes.draw(scenes.sample(number, task="segment", held_out=True))
        found += list(find_regions(engine, evidence_of(engine, scene), scene.objects))
    assert found
    for one in found:
        mask = one.target.pixels
        assert (mask & one.thing.mask).sum() >= 0.5 * (mask | one.thing.mask).sum()
        targets = targets_of(one.target)
        assert set(targets) == {*TARGETS, WRONG} and all((each.pixels == mask).all() for each in targets.values())
        rival = engine.adapter.labels[targets[WRONG].index or 0]
        assert rival == scenes.rival(one.thing.label) and targets["rival"].against == targets[WRONG].index
