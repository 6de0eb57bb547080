"""Figures, reports and tables of real explanations, with their proofs and checks, as those who get them see them."""

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from torchvision import transforms

from sightglass import __version__
from sightglass.explain import Explainer, Explanation
from sightglass.explain.maps.statistics import Agreement
from sightglass.explain.phrases import quantity
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.style import Style
from sightglass.explain.trust.checks import Check, Checks
from sightglass.explain.trust.proof import Proof, rows
from sightglass.report import charts, drawing, embedded_recipe, figure, html_report, result_folder, results, table
from sightglass.report.offers import FORMATS, Format
from sightglass.report.views import explained_boxes
from tests.unit import own_nets

NAME = "=1+1 <img src=x onerror=alert(1)> $x^2$ 画像.png"


@pytest.fixture(scope="module")
def made(bus) -> Explanation:
    """A cropped picture under a name that means harm to a page, a spreadsheet and a formula."""
    return Explainer("efficientnet-lite0")(Image(Image.open(bus).thumbnail(420), NAME), top_k=3)


@pytest.fixture(scope="module")
def boxes(scene) -> Explanation:
    return Explainer("demo-s")(Image(Image.open(scene).pixels, "bus.png"), per="detection", top_k=3)


@pytest.mark.parametrize("kind", ["png", "jpg", "svg", "pdf"])
def test_figure_is_deterministic_with_recipe(made: Explanation, kind) -> None:
    first, second = (figure.figure(made, 1, format=kind, look={"colormap": "viridis", "alpha": 0.4}) for _ in range(2))
    assert first == second != figure.figure(made, 1, format=kind, look={"colormap": "viridis", "alpha": 0.9})
    if kind in ("png", "jpg"):
        embedded = embedded_recipe.contents(first)
        assert embedded is not None and (embedded.view.index, embedded.view.label) == (1, made.heatmaps[1].target.label)
        assert embedded.view.settings == {"mode": "overlay", "colormap": "viridis", "alpha": 0.4}


def test_svg_figure_has_text_and_paths(boxes: Explanation) -> None:
    root = ElementTree.fromstring(figure.figure(boxes, format="svg"))
    space = "{http://www.w3.org/2000/svg}"
    words = " ".join("".join(node.itertext()) for node in root.iter(f"{space}text"))
    answer, layer = boxes.task.wording.answers(boxes)[0].line, boxes.heatmaps[0].layers[0]
    for part in ("bus.png", "HiResCAM: ball-dots", answer, f"sightglass {__version__}", layer):
        assert part in words
    assert len([*root.iter(f"{space}image")]) == 4  # three panels and the colour bar, and nothing else, is pixels
    white = [node for node in root.iter(f"{space}path") if "stroke: #ffffff" in node.get("style", "")]
    assert len(white) == len(boxes.unfiltered) + 1


def test_boxes_that_are_hidden_on_the_page_are_in_no_file(boxes: Explanation) -> None:
    hidden = Style.of({"outlines": False})
    plain = result_folder.one_map(boxes, 0, boxes=False)
    assert (result_folder.one_map(boxes, 0, hidden) == plain).all()
    assert (result_folder.one_map(boxes, 0) != plain).any()
    assert (drawing.mark(plain, explained_boxes(boxes, 0), 1.0, hidden) == plain).all()
    assert b"stroke: #ffffff" not in figure.figure(boxes, format="svg", look={"outlines": False})


def test_report_is_self_contained(made: Explanation) -> None:
    page = html_report.html([made])
    asked: list[tuple[str, str]] = []
    reader = HTMLParser()
    reader.handle_starttag = lambda _, attributes: asked.extend(attributes)  # type: ignore[method-assign]
    reader.feed(page)
    assert {value[:5] for name, value in asked if name in ("src", "href", "action", "data", "srcset")} == {"data:"}
    assert not [name for name, _ in asked if name == "style" or name.startswith("on")]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    for element, start in (("style", "<style>"), ("script", "<script>")):
        text = re.search(rf"{start}(.*?)</{element}>", page, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_a_page_has_numbers_caveats_recipe_and_call(made: Explanation, boxes: Explanation) -> None:
    page = html.unescape(re.sub(r"<[^>]+>", "", html_report.html([made])))
    assert embedded_recipe.python_call(made.recipe) in page
    assert made.recipe.weights_sha256 in page
    for finding in made.diagnosis:
        assert finding.text in page
    assert html_report.html([boxes]).count(boxes.notes[0]) == len(boxes.heatmaps)
    for _, value, meaning in table.list_numbers(made.statistics[2]):
        assert value in page and meaning in page
    low, high = made.heatmaps[0].ends
    assert quantity(low) in page and quantity(high) in page


def test_every_row_has_the_same_columns_and_what_is_in_them(made: Explanation, boxes: Explanation) -> None:
    rows = [*table.rows(made), *table.rows(boxes)]
    assert len({tuple(row) for row in rows}) == 1
    # No cell is a formula.
    assert f"'{NAME}" in table.csv(rows)
    assert all(isinstance(value, str | int | float | bool | None) for row in rows for value in row.values())
    first, last = rows[0], rows[3]
    assert (first["predicted"], first["score"]) == (made.predictions[0].label, made.predictions[0].score)
    assert first["gini"] == made.statistics[0].gini and first["box_inside"] is None
    assert last["box_inside"] == boxes.box_numbers(0).inside
    assert sum(first[f"histogram_{5 * i:02}"] for i in range(20)) == sum(made.statistics[0].histogram)


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.file)
def test_every_format_writes_a_file_of_its_kind(made: Explanation, format: Format) -> None:
    starts = {"png": b"\x89PNG", "jpg": b"\xff\xd8\xff", "svg": b"<?xml", "pdf": b"%PDF-", "npz": b"PK"}
    starts |= {"html": b"<!doctype", "csv": b"picture,", "json": b"{"}
    assert format.make(made, 0, {"colormap": "viridis"}).startswith(starts[format.file.rpartition(".")[2]])


def test_summary_file_equals_to_dict(scene: Path, tmp_path: Path) -> None:
    result = Explainer("demo-s")(scene, per="detection", top_k=1)
    result.save(tmp_path / "out")
    written = json.loads((tmp_path / "out" / result_folder.SUMMARY).read_text("utf-8"))
    del written["files"]
    assert written == result.to_dict() and written["version"] == results.VERSION
    read = results.Explained.model_validate_json(json.dumps(written))
    assert (read.statistics, read.recipe) == (result.statistics, result.recipe)
    assert read.to_dict() == written


def test_numbers_that_are_not_finite_are_null() -> None:
    unlike = Agreement(np.nan, 0.5)
    fields = {"picture": "a.png", "verdict": "", "common": (0, 0, 9, 9), "models": [], "agreement": [[unlike]]}
    compared = results.ComparisonResult(**fields, fastest=None, steady=True, label=None, mixed=None)
    expected = [[{"rank_correlation": None, "iou_top20": 0.5}]]
    assert compared.to_dict()["agreement"] == json.loads(compared.model_dump_json())["agreement"] == expected


@pytest.fixture(scope="module")
def bare(scene: Path) -> Explanation:
    return Explainer("demo-cls-s")(Image(Image.open(scene).pixels, NAME), top_k=2)


@pytest.fixture(scope="module")
def proved(bare: Explanation) -> Explanation:
    """Two maps, of which the second was proved."""
    result = Explainer("demo-cls-s")(bare.image, top_k=2)
    result.prove(result.heatmaps[1].target.label, steps=5)
    return result


@pytest.fixture(scope="module")
def proof(proved: Explanation) -> Proof:
    return proved.proofs[1]


def text(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def test_a_page_has_the_proof_in_words_curves_and_numbers(proved: Explanation, proof: Proof) -> None:
    page = html_report.html([proved])
    words = text(page)
    assert proof.sentence in words
    for row in rows(proof):
        assert all(value in words for value in row)
    assert page.count("data:image/svg+xml") == 1


def test_curves_as_a_figure_are_vectors(proof: Proof) -> None:
    chart = charts.describe_proof(proof)
    data = charts.figure(chart, "svg")
    assert charts.figure(chart, "svg") == data
    words = " ".join(re.findall(r">([^<>]+)</text>", data.decode("utf-8")))
    assert " ".join(proof.sentence.split()) in " ".join(html.unescape(words).split())
    assert data.count(b"stroke-dasharray") >= len(proof.controls) and b"<image" not in data
    assert b"/Type3" not in charts.figure(chart, "pdf")


SENTENCE = "With random weights the map is another one (0.03, <b>unrelated</b> maps: 0.20)."
MARKS = (
    Check("model", "yes", SENTENCE, 0.03, 0.2),
    Check("answer", "no", "Maps of other pictures matter as much.", 1.5, 2.25),
    Check("stable", "cannot be told", "The map is too even.", None, float("nan")),
)


@pytest.fixture
def checked(bare: Explanation) -> Explanation:
    """Two maps, of which the second was checked."""
    return bare.with_tests({1: Checks(bare.heatmaps[1].target.label, MARKS)})


def test_a_png_or_jpg_has_it_in_its_recipe(checked: Explanation) -> None:
    for kind in ("png", "jpg"):
        embedded = embedded_recipe.read(figure.figure(checked, 1, format=kind))  # type: ignore[arg-type]
        (saved,) = embedded.checks
        assert saved.index == 1
        assert [(mark.question, mark.answer, mark.value, mark.control) for mark in saved.marks] == [
            ("model", "yes", 0.03, 0.2),
            ("answer", "no", 1.5, 2.25),
            ("stable", "cannot be told", None, None),
        ]
    # What two explanations are compared by has none.
    assert checked.recipe.checks == ()
    assert embedded_recipe.proved_recipe(checked, 0) == embedded


def test_a_report_has_the_checks_with_their_sentences(checked: Explanation, bare: Explanation) -> None:
    page = html_report.html([checked], index=1)
    assert all(f"{check.words}. {check.sentence}" in html.unescape(page) for check in MARKS)
    assert "<b>unrelated" not in page
    assert "✗ matters to the answer: no" in html_report.frame([checked])
    assert "matters to the answer" not in html_report.html([bare], index=1)


def test_a_dot_in_a_name_and_a_long_name_leave_its_suffix() -> None:
    for name, folder in (("a.1.png", "a.1_compared"), (f"{'b' * 80}.png", f"{'b' * 51}-18766a15_compared")):
        assert result_folder.choose_folders([name], None, "_compared")[0].name == folder


def test_classes_of_nearly_one_name_have_files_of_their_own(bus: Path) -> None:
    names = ["A+", "A", "a", "<50 g", ">50 g", "b", "b"]
    net = own_nets.BlocksCNN(num_classes=len(names), width=4)
    explainer = Explainer(net, preprocess=transforms.ToTensor(), labels=names)
    explanation = explainer(bus, targets=tuple(range(len(names))))
    values = results.Explained.build(explanation).to_dict()
    files = [name for i in range(len(names)) for name, _ in result_folder.class_files(explanation, i, Style(), values)]
    assert len({name.casefold() for name in files}) == 2 * len(names)
    assert {"gradcam_class_A-aee8736c.png", "class_analysis_b.json"} <= {*files}
