"""What pages send to the browser and take from it: names are text, the viewer's payload, joined scripts, uploads."""

import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sightglass.browser import join, modules
from sightglass.explain.picture.image import Image, to_png
from sightglass.explain.trust.proof import Curve, Effect, Proof, Support, Trace, rows
from sightglass.report import charts as proof_view
from sightglass.ui import viewer
from sightglass.ui.choices import image_picker
from sightglass.ui.session.markdown import escape, sentence, without_keys
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.pictures.image_source import Pictures
from sightglass.ui.session.visitor import Visitor
from sightglass.ui.viewer import Box, Map, Pane, pack
from sightglass.ui.views import charts
from tests.packages import ROOT, sources

HOSTILE = [
    "<script>alert(1)</script>",
    "![x](https://evil.example/x)",
    "[x](javascript:alert(1))",
    ":red[x] $x$ **x** `x`",
    "__x__ _x_ a__b",
]


def test_no_page_draws_html_of_its_own() -> None:
    assert not [path for path in sources("ui", "pages") if "unsafe_allow_html" in path.read_text("utf-8")]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_mark_of_a_hostile_name_means_anything(text: str) -> None:
    escaped = escape(text)
    assert not [i for i, mark in enumerate(escaped) if mark in "*_[]`$:#<>~" and escaped[i - 1] != "\\"]
    assert escaped.replace("\\", "") == text


def test_a_problem_s_sentence_is_as_it_is_but_for_its_code() -> None:
    assert sentence("[x](y) is unknown: `pip install a[b]`.") == "\\[x\\](y) is unknown: `pip install a[b]`."


@pytest.mark.parametrize("name", [*HOSTILE, "` [x](y)", "``` [x](y) `", "`` [x](y)"])
def test_problem_names_are_escaped(name: str) -> None:
    shown = re.sub(r"(?<!`)`[^`]+`(?!`)", "", sentence(f"{name} cannot be read."))
    assert not [i for i, mark in enumerate(shown) if mark in "*[]`$#<>~" and shown[i - 1] != "\\"]


def test_marked_area_without_maps_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, empty = list[str](), SimpleNamespace(seen=(0, 0, 10, 10), original=(10, 10), state="flat")
    monkeypatch.setattr(charts.st, "markdown", lines.append)
    evidence, image = SimpleNamespace(geometry=empty), SimpleNamespace(width=10, height=10)
    charts.draw_marked_area(SimpleNamespace(evidence=evidence, image=image, heatmaps=[empty]), (0, 0, 5, 10), 0)
    assert lines == [":material/ink_selection: The marked area is 50\N{NO-BREAK SPACE}% of the picture."]


def test_a_note_on_a_page_names_no_key() -> None:
    raises = 'It shows what raises the number; part="lowers" shows what lowers it.'
    assert without_keys("It has 5 classes: say weights.labels in its table.") == "It has 5 classes."
    assert without_keys(raises) == "It shows what raises the number."
    weights = "Its weights. Are these, by its task: COCO's."
    assert without_keys(weights) == weights


WHOLE = (0, 0, 60, 40)


def ramp(scale: float = 1.0) -> np.ndarray:
    return (np.linspace(0, scale, 12, dtype=np.float32)).reshape(3, 4)


def test_the_payload_follows_picture_and_maps_alone():
    black = np.zeros((20, 30, 3), np.uint8)

    def packed(scale: float = 1, chosen: int = 0, both: bool = True) -> bytes:
        maps = tuple(Map(name, "", ramp(scale), WHOLE, WHOLE) for name in ("a", "b")[: 1 + both])
        boxes = [Box(WHOLE, name, i, chosen=i == chosen) for i, name in enumerate("ab")]
        return pack(Image(black), [Pane(), Pane(maps)], boxes)

    assert packed() == packed() and packed(chosen=1) == packed()
    assert packed(scale=0.5) != packed()
    assert packed(chosen=1, both=False) != packed(both=False)  # no list to choose from: Python says which
    with pytest.raises(ValueError, match=r"must lie within 0\.\.1, got 0 to 2"):
        packed(scale=2)


@pytest.mark.parametrize(
    "given",
    [
        None,
        {"picture": "other", "xyxy": [0, 0, 9, 9]},
        {"picture": "p", "xyxy": [9, 0, 0, 9]},
        {"picture": "p", "xyxy": [0, 0, float("nan"), 9]},
        {"picture": "p", "xyxy": [0, 0, 61, 9]},
        {"picture": "p", "kind": "brush", "size": [30, 20], "bits": "!"},
    ],
)
def test_an_area_that_makes_no_sense_is_none(given):
    assert viewer.parse_region(given, "p", (60, 40)) is None
    assert viewer.parse_region({"picture": "p", "xyxy": [10, 5, 30, 25]}, "p", (60, 40)) == (10, 5, 30, 25)


def test_a_click_counts_on_its_own_picture_only():
    message = {"picture": "p", "x": 7, "y": 8.5, "box": None}
    assert viewer.parse_point(message, "p") == ((7.0, 8.5), None)
    assert viewer.parse_point(message | {"box": 2}, "p") == ((7.0, 8.5), 2)
    for wrong in (message | {"picture": "q"}, message | {"x": "left"}, {"x": 1, "y": 2}, "here", None):
        assert viewer.parse_point(wrong, "p") == (None, None)


IMPORT = re.compile(r'import (?:\{ \w+(?:, \w+)* \} from )?"(\.\.?/(?:(?:\w+|\.\.)/)*\w+\.js)";')
NODE = shutil.which("node")
PAGE = ROOT / "sightglass/ui/widgets/page.js"
"""What every page runs."""
JOINED = [path for room in ("sightglass/ui", "pages") for path in sorted((ROOT / room).rglob("*.js"))]
ENTRIES = [PAGE, *(path for path in JOINED if re.search("^export default", path.read_text("utf-8"), re.MULTILINE))]


@pytest.mark.parametrize("script", ENTRIES, ids=lambda path: path.stem)
def test_every_component_is_one_script(script: Path):
    for path in modules(script):
        imports = re.findall(r"^ *import\b.*", path.read_text("utf-8"), re.MULTILINE)
        # Their names are in one scope, and stay as they are.
        assert all(map(IMPORT.fullmatch, imports)), path
    if NODE:
        # What scripts and functions let pass, a function declared twice, is an error in a module.
        command = [NODE, "--check", "--input-type=module", "-"]
        assert subprocess.run(command, input=join(script), capture_output=True, text=True).stderr == ""
    # Of every page's script: DOMPurify leaves out an element whose text may hold another one.
    assert script != PAGE or not re.search(r"<[/\w!]", join(PAGE))


def trace(*scores: float) -> Trace:
    array = np.array(scores)
    return Trace(array, array, array > 0.25)


def test_proof_curves_average_seeds():
    curve = Curve("map", 0, "blur", trace(0.8, 0.1, 0.0), trace(0.0, 0.7, 0.8))
    parts = [(trace(0.8, score, 0.0), trace(0.0, score, 0.8)) for score in (0.3, 0.5)]
    random = [Curve("random", number, "blur", *part) for number, part in enumerate(parts)]
    middle = Curve("strongest", 0, "blur", trace(0.8, 0.2, 0.0), trace(0.0, 0.6, 0.8))
    effect = Effect("palace in china", (0.2,), (0.6,))
    support = Support("dog", False, 0.8, 0.0, effect, (effect,))
    proof = Proof("dog", "class", (curve, *random, middle), ("blur",), 0.8, support)
    lines = proof_view.describe_proof(proof).curves
    assert [line.name for line in lines] == ["map", "random", "strongest"]
    assert lines[1].hidden == (0.8, 0.4, 0.0) and lines[2].title == "Another picture's map"
    assert [row[1:3] for row in rows(proof)] == [("0.25", "0.55"), ("0.40", "0.40"), ("0.30", "0.50")]


def test_upload_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    states = (Pictures(chosen="bus"), image_source.Replacement(), image_picker.PictureBar(), Visitor("me", ""))
    held = {type(each): each for each in states}
    monkeypatch.setattr(image_source.state, "of", held.__getitem__)
    monkeypatch.setattr(image_source, "UPLOADS", image_source.Uploads())
    monkeypatch.setattr(image_picker, "remove_upload", lambda _: None)
    files = [(f"{grey}.png", to_png(np.full((30, 40, 3), grey, np.uint8))) for grey in (1, 2)]
    files.append(("broken.png", b"?"))
    uploads = [SimpleNamespace(name=name, getvalue=lambda data=data: data, file_id=name) for name, data in files]
    # Of the last one the server that took it is gone.
    uploads.append(SimpleNamespace(file_id="gone"))
    monkeypatch.setattr(image_picker.st, "session_state", {image_picker.UPLOADER: uploads})
    image_picker.store_upload(image_picker.uploads())
    assert image_picker.uploads() == []
    own, pictures = image_source.list_own(), held[Pictures]
    assert [image.name for image in own] == ["1.png", "2.png"]
    assert pictures.chosen == image_source.token(own[-1]) and "broken.png" in (pictures.problem or "")
