"""A pack's files say the same, can be edited, and are checked number by number."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from PIL import Image as Pillow
from pptx import Presentation

from sightglass.common.errors import Problem
from sightglass.pack import files
from sightglass.pack.document import Pack, PackChart, PackFigure, PackNumber, PackSection, PackTable, format_cell

if TYPE_CHECKING:
    from pathlib import Path


def jpeg(size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Pillow.new("RGB", size, (90, 120, 60)).save(out, "JPEG")
    return out.getvalue()


def pack(ap: float = 0.412, rows: int = 23) -> Pack:
    number = PackNumber("accuracy.ap", "AP", ap, f"{100 * ap:.1f} [36.0, 47.1]", 0.36, 0.471)
    table = PackTable("classes", "By class", ("class", "AP"), tuple((f"=class {i}", i / 7) for i in range(rows)))
    chart = PackChart("errors", "Errors", "objects", (("missed", 31.0), ("background", 4.0)))
    figures = tuple(PackFigure(f"{i}.png", f"Missed <bus> {i}", jpeg((320, 200 + i)), {"model": "m"}) for i in range(7))
    return Pack(
        "demo-s on 40 pictures",
        "demo-s misses 31 of 100 buses.",
        (
            PackSection("model", "The model", ("demo-s: 2 MB.",)),
            PackSection(
                *("accuracy", "Accuracy", ("AP is 41.2.",)),
                *((number,), (table,), (chart,), figures),
                ("Annex IV 2(g)",),
            ),
        ),
    )


def test_slides_hold_tables_and_charts_that_can_be_edited(tmp_path: Path) -> None:
    files.write(tmp_path, pack())
    slides = Presentation(str(tmp_path / files.PPTX)).slides
    assert [one.shapes.title.text for one in slides] == [
        *("demo-s on 40 pictures", "The model"),
        *["Accuracy"] * 6,
    ]
    shapes = [shape for slide in slides for shape in slide.shapes]
    cells = [cell.text for shape in shapes if shape.has_table for row in shape.table.rows for cell in row.cells]
    assert {"41.2 [36.0, 47.1]", "=class 0", "=class 22", format_cell(22 / 7)} <= set(cells)
    (chart,) = [shape.chart for shape in shapes if shape.has_chart]
    assert dict(zip(chart.plots[0].categories, chart.plots[0].series[0].values, strict=True)) == {
        "background": 4.0,
        "missed": 31.0,
    }
    # Nothing lies outside of its slide, and nothing but the picture's own text over a picture.
    for shape in shapes:
        assert shape.left >= 0 and shape.left + shape.width <= 12_192_000
        assert shape.top >= 0 and shape.top + shape.height <= 6_858_000, shape.name
    assert sum(shape.shape_type == 13 for shape in shapes) == 7
    assert any("Annex IV 2(g)" in shape.text_frame.text for shape in shapes if shape.has_text_frame)


def test_page_and_tables_escape_what_a_class_is_called(tmp_path: Path) -> None:
    written = files.write(tmp_path, pack())
    page = (tmp_path / files.HTML).read_text("utf-8")
    assert "Missed &lt;bus&gt; 3" in page and "<bus>" not in page and "http" not in page.partition("<body>")[2]
    assert (tmp_path / files.PDF).read_bytes().startswith(b"%PDF-")
    rows = list(csv.reader(io.StringIO((tmp_path / "classes.csv").read_text("utf-8"))))
    assert rows[1][0] == "'=class 0" and len(rows) == 24
    (number,) = csv.DictReader(io.StringIO((tmp_path / files.NUMBERS).read_text("utf-8")))
    assert (number["id"], float(number["value"]), float(number["high"])) == ("accuracy.ap", 0.412, 0.471)
    recipes = [name for name in written if name.startswith(files.RECIPES)]
    assert len(recipes) == 7 and all(json.loads((tmp_path / name).read_text()) == {"model": "m"} for name in recipes)


def test_a_number_that_comes_out_otherwise_is_named(tmp_path: Path) -> None:
    files.write(tmp_path, pack())
    assert files.compare_again(tmp_path, pack()) == []
    assert files.compare_again(tmp_path, pack(0.412 + 1e-12)) == []
    (found,) = files.compare_again(tmp_path, pack(0.4))
    assert found == "accuracy.ap was 41.2 [36.0, 47.1] and is now 40.0 [36.0, 47.1]."
    assert files.compare_again(tmp_path, pack(rows=3)) == [
        "classes was a table of 23 rows and is now a table of 3 rows."
    ]
    nothing = replace(pack(), sections=())
    assert files.compare_again(tmp_path, nothing) == [
        "accuracy.ap is no longer measured.",
        "classes is no longer measured.",
        "accuracy, sentence 1 is no longer measured.",
        "model, sentence 1 is no longer measured.",
    ]
    other = replace(pack(), headline="demo-s misses 30 of 100 buses.")
    assert files.compare_again(tmp_path, other) == [
        "headline was 'demo-s misses 31 of 100 buses.' and is now 'demo-s misses 30 of 100 buses.'."
    ]


def test_a_folder_without_a_pack_is_one_sentence(tmp_path: Path) -> None:
    for text in ("", "[]", '{"numbers": 3, "tables": {}}'):
        (tmp_path / files.JSON).write_text(text)
        with pytest.raises(Problem, match="holds no evidence pack"):
            files.compare_again(tmp_path, pack())
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match="Nothing can be written"):
        files.write(tmp_path / "file", pack())
