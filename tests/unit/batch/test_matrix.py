"""Methods and layers over pictures: means, who leads, and what so few pictures can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.batch import matrix

if TYPE_CHECKING:
    from pathlib import Path


def of(*values: float | None, random: float = 0.0) -> matrix.Cells:
    """One picture's cells, GradCAM at layers a, b, c."""
    return [("gradcam", layer, value, random) for layer, value in zip("abc", values, strict=False)]


def test_means_leads_and_gaps_are_those_of_the_pictures() -> None:
    found = matrix.add_up([of(0.4, 0.2, 0.1), of(0.5, 0.6, 0.1), [], of(0.6, 0.1, 0.1)])
    assert found is not None and found.pictures == 3
    a, b, c = found.cells
    assert [cell.advantage for cell in found.cells] == pytest.approx([0.5, 0.3, 0.1])
    assert [cell.leads for cell in found.cells] == pytest.approx([2 / 3, 1 / 3, 0])
    assert [cell.behind for cell in found.cells] == pytest.approx([0, 0.2, 0.4])
    assert found.best == a and found.methods == ("gradcam",) and found.layers == ("a", "b", "c")
    assert a.low < 0.5 < a.high and c.low == c.high == pytest.approx(0.1)
    # b was better on one of three: drawn thrice, it is ahead.
    assert b.behind_low < 0 < c.behind_low and found.equals == (b,)
    assert "Over 3 pictures GradCAM at a shows most" in found.sentence and "so few tell little" in found.sentence


def test_an_empty_map_counts_as_random_places_do_and_never_leads() -> None:
    found = matrix.add_up([of(None, 0.3, None, random=0.2), of(0.4, None, None, random=0.2)] * 3)
    assert found is not None
    a, b, c = found.cells
    assert (a.advantage, a.maps, a.leads) == (pytest.approx(0.3), 3, 0.5)
    assert (b.advantage, b.maps, b.leads) == (pytest.approx(0.25), 3, 0.5)
    assert (c.advantage, c.maps, c.leads) == (None, 0, 0)
    assert found.best == a and c not in found.equals
    assert len(matrix.rows(found)) == 2 and matrix.rows(found, 1)[0][:3] == ("GradCAM", "a", "+0.30")
    assert found.sentence.endswith("1 other does as well within what 6 pictures can tell.")


def test_none_is_named_best_where_random_places_do_as_well() -> None:
    found = matrix.add_up([of(0.1, 0.2, 0.3, random=0.4)])
    assert found is not None and found.best is None and found.equals == ()
    assert found.sentence == "Over 1 picture no method at any of these layers shows more than random places do."
    assert matrix.add_up([[], []]) is None


def test_the_file_has_every_number_and_goes_where_there_is_nothing_to_sum_up(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).random((8, 3))
    cells = [of(*row, random=0.1) for row in drawn.tolist()]
    matrix.write(tmp_path, [{"matrix": one} for one in [*cells, of(0.1, None, None)]])
    assert matrix.read(tmp_path) == matrix.add_up([*cells, of(0.1, None, None)])
    matrix.write(tmp_path, [{"rows": []}, {"matrix": []}])
    assert matrix.read(tmp_path) is None and not any(tmp_path.iterdir())


def test_a_sample_of_a_folder_that_grows_keeps_those_of_before_or_drops_them() -> None:
    names = [f"{number:04}.jpg" for number in range(200)]
    before, after = matrix.sample(names[:100], 16), matrix.sample(names, 16)
    assert len(before) == len(after) == 16 and before != after
    assert after & {*names[:100]} <= before
    assert before == matrix.sample(reversed(names[:100]), 16)
    assert matrix.sample(names[:3], 16) == {*names[:3]}
