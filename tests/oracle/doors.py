"""The doors by which an option is given: which options each one declares, and what it answers to them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import shutil
import zipfile
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mcp.client import Client
from PIL import Image as Pillow
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from sightglass import batch
from sightglass.api import guide_routes, schemas
from sightglass.api.app import create
from sightglass.api.tools import create_server
from sightglass.api.work import WorkQueue
from sightglass.batch import table
from sightglass.batch.runner import BatchJob
from sightglass.cli import main
from sightglass.common import guide_words
from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.explainer import Explainer
from sightglass.explain.explanation import Explanation
from sightglass.explain.options import OF_DRAWING, OFFERED, QUESTION
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import Image, load_bundled, to_jpeg
from sightglass.explain.picture.source import find
from sightglass.explain.recipe import Recipe
from sightglass.explain.rendering.style import GUIDE_STYLE, VIEWER_STYLE, Style
from sightglass.explain.tasks import task_of
from sightglass.explain.trust.diagnosis import describe
from sightglass.models import catalog
from sightglass.pages.explore import places
from sightglass.pages.explore.answers import MAX_MAPS
from sightglass.report import embedded_recipe, result_folder, results
from sightglass.report.view import require_map
from sightglass.ui.choices import controls
from sightglass.ui.session import url_state
from sightglass.ui.session.control_table import CONTROLS, Control
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.viewer import SETTINGS
from tests.oracle.flags import flags, flags_of
from tests.pages import harness
from tests.pages.conftest import parameter, session, shown
from tests.waits import patience

ROOT = Path(__file__).parents[2]
Given = Mapping[str, Any]
"""Options by their names in the library, `model` among them; the last one may be wrong."""
Parts = dict[str, Any]
"""What is answered, by name: maps, the recipe, numbers, sentences, a picture."""
OF_CALL: Mapping[str, Any] = {"question": QUESTION, **OFFERED}
"""The options of a call, each with what is declared of it."""
LISTED = ("model", "device")
"""What is said of a listed model; all else of OF_MODEL describes one's own, where it is loaded or added."""
OPTIONS = (*LISTED, *OF_CALL, *OF_DRAWING)
LOOK = frozenset(OF_DRAWING)
NUMBERS = ("headline", "predictions", "boxes", "heatmaps", "statistics", "diagnosis", "notes")
"""What an answer in JSON has beside the recipe and what differs each time."""
PICTURE, OUT = "scene.png", Path("out")
"""The picture that every door but the page is given, and where results are written."""


class Refused(Exception):
    """The one sentence of a door."""


class Door:
    """A way to the library."""

    name: ClassVar[str]
    about: ClassVar[str]
    """What it is, for the documentation."""
    within: ClassVar[float] = 0.0
    """How far the values that it shows may be from the library's."""

    @property
    def offers(self) -> frozenset[str]:
        """The options that it declares."""
        raise NotImplementedError

    unsaid: ClassVar[frozenset[str]] = frozenset()
    """Options of whose wrong values it says nothing."""

    def fixed(self, given: Given) -> Json:
        """Return the options that it sets itself, where they are not given."""
        return {}

    def ask(self, given: Given) -> Parts:
        """Return its answer; raises Refused."""
        raise NotImplementedError

    def expect(self, given: Given) -> Parts:
        """Return the library's answer, in the same parts; raises Problem."""
        raise NotImplementedError

    def repeats(self, said: str, sentence: str, option: str) -> bool:
        """Return whether what it says of an option's wrong value is the library's sentence, or its own of the form."""
        return said == sentence


def explain(given: Given, picture: Any = PICTURE) -> Explanation:
    """Return the library's answer, the same one to the same question; raises Problem."""
    asked = picture.sha256 if isinstance(picture, Image) else Path(picture).read_bytes()
    return _ANSWERS.get_or_make((asked, *given.items()), lambda: _explain(given, picture))


def _explain(given: Given, picture: Any) -> Explanation:
    of_call = {name: value for name, value in given.items() if name in OF_CALL}
    explanation = Explainer(given["model"], device=given.get("device", "auto"))(picture, **of_call)
    assert isinstance(explanation, Explanation)
    if LOOK & given.keys():
        explanation.overlay(0, **{name: given[name] for name in OF_DRAWING if name in given})
    return explanation


_ANSWERS: ByteCache[Explanation] = ByteCache(8, lambda _: 1)
"""Of the latest questions."""


def style_of(given: Given, usual: Style = VIEWER_STYLE) -> Style:
    """Return how a door draws that draws as `usual` where nothing is said."""
    return Style.parse(*(given.get(name, getattr(usual, name)) for name in OF_DRAWING))


def detects(given: Given) -> bool:
    known = catalog.catalog().get(given["model"])
    return known is not None and task_of(known).explains("detection")


def pixels_of(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"))


def list_differences(said: Parts, expected: Parts, within: float) -> list[str]:
    """Return the names of the parts that are not the same; `within`: how far values that are shown may be apart."""
    names = sorted(said.keys() | expected.keys())
    return [name for name in names if not _are_same(said.get(name), expected.get(name), within)]


def _are_same(said: Any, expected: Any, within: float) -> bool:
    if said is None or expected is None:
        return said is expected
    if isinstance(said, np.ndarray):
        same_shape = said.shape == np.shape(expected)
        return same_shape and bool(np.allclose(said, expected, rtol=0, atol=within, equal_nan=True))
    return json.dumps(said, sort_keys=True) == json.dumps(expected, sort_keys=True)


# Folders of results: of the command line, of the API, and of a recipe


class FolderDoor(Door):
    """A door whose answer is a folder of results."""

    def expect(self, given: Given) -> Parts:
        explanation = explain(given)
        return _parts_of(explanation, style_of(given)) | _overlay_of(explanation, given)


def _parts_of(explanation: Explanation, style: Style = VIEWER_STYLE) -> Parts:
    """Return what a folder of an explanation's results must have."""
    maps = {f"map {name}": values for name, values in result_folder.arrays(explanation).items()}
    return _select(results.Explained.build(explanation, style).to_dict()) | maps


def _overlay_of(explanation: Explanation, given: Given) -> Parts:
    if not LOOK & given.keys() or not explanation.heatmaps:
        return {}
    return {"overlay": explanation.overlay(0, **style_of(given).overlay)}


def _select(answer: Json) -> Parts:
    """Return the parts of an answer in JSON."""
    return {name: answer[name] for name in ("recipe", *NUMBERS)}


def _read_folder(files: Mapping[str, bytes]) -> Parts:
    """Return the parts of a folder of results."""
    parts = _select(json.loads(files[result_folder.SUMMARY]))
    assert parts["recipe"] == json.loads(files[result_folder.RECIPE])
    if not parts["heatmaps"]:
        assert result_folder.MAPS not in files
        return parts
    with np.load(io.BytesIO(files[result_folder.MAPS])) as saved:
        return parts | {f"map {name}": saved[name] for name in saved.files}


# The command line


def declared_by(verb: str) -> frozenset[str]:
    return frozenset(OPTIONS) & flags_of(verb).keys()


def _run_command(*words: str) -> None:
    """Run a command line; raises Refused with its sentence."""
    shown, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
        code = main([*words, "--json"])
    if code:
        answer = json.loads(shown.getvalue())
        raise Refused(answer["error"] if "error" in answer else answer["failed"][0]["error"])


def _spells(said: str, sentence: str, option: str, verb: str) -> bool:
    """Return whether a verb says a sentence of the library, maybe by its flag's name or with fewer choices."""
    wrong, _, choices = said.partition("choose one of")
    fewer = bool(choices) and sentence.startswith(wrong)
    return fewer or said in (sentence, sentence.replace(option, flags_of(verb).get(option, option), 1))


def _written(look: bool) -> Parts:
    """Return the parts of the folder that a command line wrote; `look`: also the picture under its first map."""
    parts = _read_folder({path.name: path.read_bytes() for path in OUT.iterdir() if path.is_file()})
    if not look or not (OUT / "top_predictions").exists():
        return parts
    stem = result_folder.label_stem(parts["heatmaps"][0]["label"])
    (picture,) = OUT.glob(f"top_predictions/gradcam_top*_{stem}.png")
    return parts | {"overlay": pixels_of(picture.read_bytes())}


class WrittenDoor(FolderDoor):
    """A folder that a command line writes; of objects its picture is a JPG."""

    def expect(self, given: Given) -> Parts:
        expected = super().expect(given)
        if detects(given):
            expected.pop("overlay", None)
        return expected


class Command(WrittenDoor):
    name, about = "command", "`sightglass explain`, by its flags"
    offers = property(lambda self: declared_by("explain"))

    def fixed(self, given: Given) -> Json:
        return {"per": "detection"} if detects(given) else {}

    def ask(self, given: Given) -> Parts:
        shutil.rmtree(OUT, ignore_errors=True)
        _run_command("explain", PICTURE, *flags("explain", given), "--out", str(OUT))
        return _written(bool(LOOK & given.keys()))

    def repeats(self, said: str, sentence: str, option: str) -> bool:
        return _spells(said, sentence, option, "explain")


class Replay(WrittenDoor):
    """A recipe in a file, made again by a command line, and by the call in Python that is printed beside it."""

    name, about = "recipe", "`sightglass replay` of a recipe, and the call in Python that a result prints"
    offers = property(lambda self: declared_by("replay") | (frozenset(OPTIONS) & Recipe.model_fields.keys()))
    file = OUT / result_folder.RECIPE

    def ask(self, given: Given) -> Parts:
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir()
        self.file.write_text(json.dumps(self._write(given)), "utf-8")
        said_again = {name: value for name, value in given.items() if name not in Recipe.model_fields}
        words = [*flags("replay", said_again), "--picture", PICTURE, "--out", str(OUT)]
        _run_command("replay", str(self.file), *words)
        parts = _written(bool(LOOK & given.keys()))
        recipe = Recipe.model_validate(parts["recipe"])
        called = eval(embedded_recipe.python_call(recipe), {"Explainer": Explainer})
        assert not list_differences(_select(called.to_dict()), _select(explain(given).to_dict()), 0.0)
        return parts

    def _write(self, given: Given) -> Json:
        """Return the recipe of these options; one that the library refuses is written into that of the others."""
        try:
            return explain(given).recipe.model_dump(mode="json")
        except Problem:
            *names, option = given
            kept = {"model": "demo-cls-s"} | {name: given[name] for name in names if name != option}
            return explain(kept).recipe.model_dump(mode="json") | {option: given[option]}

    def repeats(self, said: str, sentence: str, option: str) -> bool:
        return said.startswith(f"{self.file} is not a recipe: ") or _spells(said, sentence, option, "replay")


# Runs over a folder, here of one picture


class Run(Door):
    name, about = "run", "`sightglass.batch.run`, by `options`, `style` and `device`"

    @property
    def offers(self) -> frozenset[str]:
        declared = {field.name for field in fields(BatchJob)}
        declared |= OF_CALL.keys() if "options" in declared else set()
        declared |= {field.name for field in fields(Style)} if "style" in declared else set()
        return frozenset(OPTIONS) & declared

    def ask(self, given: Given) -> Parts:
        shutil.rmtree(OUT, ignore_errors=True)
        self.run(given)
        (picture,) = (OUT / table.FOLDER).rglob("*.jpg")
        rows = table.read(OUT).astype(object).to_dict("records")
        # A picture with one raw map has it in a file of its own.
        alone = picture.with_suffix(".npy").exists()
        raw = np.load(picture.with_suffix(".npy" if alone else ".npz"))
        raws = {f"raw 0_{rows[0]['layers']}": raw} if alone else {f"raw {name}": raw[name] for name in raw.files}
        recipe = embedded_recipe.read(picture.read_bytes())
        overlay = {"overlay": pixels_of(picture.read_bytes())} if LOOK & given.keys() else {}
        return _rows(rows) | raws | {"recipe": _without_number(recipe)} | overlay

    def run(self, given: Given) -> None:
        """Run it; raises Refused."""
        options = {name: value for name, value in given.items() if name in OF_CALL}
        device = given.get("device", "auto")
        try:
            style = style_of(given)
            done = batch.run(PICTURE, given["model"], OUT, options=options, workers=1, style=style, device=device)
        except Problem as problem:
            raise Refused(str(problem)) from problem
        if done.failed:
            raise Refused(done.failed[0][1])

    def expect(self, given: Given) -> Parts:
        explanation, (item,) = explain(given), find(PICTURE)
        count = 1 if explanation.task.ranked and not given.keys() & {"targets"} else None
        raws = {
            f"raw {i}_{layer}": raw
            for i, heatmap in enumerate(explanation.heatmaps[:count])
            for layer, raw in zip(heatmap.layers, heatmap.raw, strict=True)
        }
        rows = table.rows(item, explanation, table.stem(item))[:count]
        parts = _rows(rows) | raws | {"recipe": _without_number(explanation.recipe)}
        if LOOK & given.keys():
            table.write_files(Path("expected"), explanation, style_of(given), table.SIDE)
            parts["overlay"] = pixels_of(Path("expected.jpg").read_bytes())
        return parts


def _rows(rows: list[Json]) -> Parts:
    """Return the numbers of a table's rows; a column of another row is empty."""

    def select(row: Json) -> Json:
        # NaN is not equal to itself.
        return {name: row[name] for name in row if name != "cells" and row[name] is not None and row[name] == row[name]}

    return {f"row {i}": select(row) for i, row in enumerate(rows)}


def _without_number(recipe: Recipe | None) -> Json:
    """Return a recipe without what says how many classes have a map: a run asks for one by itself."""
    assert recipe is not None
    return recipe.model_dump(mode="json", exclude={"top_k", "targets"})


class Batch(Run):
    name, about = "batch", "`sightglass batch`, by its flags"
    offers = property(lambda self: declared_by("batch"))

    def run(self, given: Given) -> None:
        _run_command("batch", PICTURE, *flags("batch", given), "--out", str(OUT), "--workers", "1")

    def repeats(self, said: str, sentence: str, option: str) -> bool:
        return _spells(said, sentence, option, "batch")


# The API


class ApiDoor(Door):
    """A door of the API, which names the field whose form is wrong before it asks the library."""

    client: TestClient

    def send(self, path: str, given: Given) -> bytes:
        """Return the body of the answer to JSON; raises Refused."""
        body = {"image": b64encode(Path(PICTURE).read_bytes()).decode(), "name": PICTURE}
        return _body_of(self.client.post(path, json=body | given))

    def repeats(self, said: str, sentence: str, option: str) -> bool:
        return said == sentence or said.startswith(f"The field '{option}")


def _body_of(response: Any) -> bytes:
    if response.status_code != 200:
        raise Refused(response.json()["detail"])
    return bytes(response.content)


class ApiJson(ApiDoor, FolderDoor):
    name, about = "JSON", "`POST /api/explain`, `/api/detect` and `/api/segment` with JSON"
    offers = property(lambda self: frozenset(OPTIONS) & schemas.ExplainRequest.model_fields.keys())

    def ask(self, given: Given) -> Parts:
        with zipfile.ZipFile(io.BytesIO(self.send("/api/explain?format=zip", given))) as archive:
            parts = _read_folder({name: archive.read(name) for name in archive.namelist()})
        is_drawn = LOOK & given.keys() and parts["heatmaps"]
        drawn = {"overlay": pixels_of(self.send("/api/explain?format=png", given))} if is_drawn else {}
        return parts | drawn


class ApiForm(ApiDoor):
    name, about = "form", "the same routes with a form"
    offers = ApiJson.offers

    def send(self, path: str, given: Given) -> bytes:
        data = {
            name: list(map(str, value)) if isinstance(value, tuple) else str(value) for name, value in given.items()
        }
        return _body_of(self.client.post(path, files={"image": (PICTURE, Path(PICTURE).read_bytes())}, data=data))

    def ask(self, given: Given) -> Parts:
        parts = _select(json.loads(self.send("/api/explain", given)))
        if not parts["heatmaps"]:
            return parts
        values = np.load(io.BytesIO(self.send("/api/explain?format=npy", given)))
        drawn = {"overlay": pixels_of(self.send("/api/explain?format=png", given))} if LOOK & given.keys() else {}
        return parts | {"values": values} | drawn

    def expect(self, given: Given) -> Parts:
        explanation = explain(given)
        answer = _select(results.Explained.build(explanation, style_of(given)).to_dict())
        if not explanation.heatmaps:
            return answer
        return answer | {"values": explanation.heatmaps[0].values} | _overlay_of(explanation, given)


class Guides(ApiDoor):
    """The routes that guides have, asked in the words of other libraries where there are any."""

    name, about = "guides", "`POST /predict_with_gradcam` and the guides' other routes, in the words of other libraries"
    offers = property(lambda self: frozenset(OPTIONS) & guide_routes.GuideRequest.model_fields.keys())

    def fixed(self, given: Given) -> Json:
        return {"top_k": 1}

    def ask(self, given: Given) -> Parts:
        sent = dict(_word_of(name, value) for name, value in given.items() if name in self.offers)
        answer = json.loads(self.send("/predict_with_gradcam", sent))
        overlay, heatmap = (b64decode(answer[f"gradcam_{name}"]) for name in ("overlay", "heatmap"))
        recipe = embedded_recipe.read(overlay)
        assert recipe is not None
        parts = {name: answer[name] for name in ("prediction", "confidence", "notes")}
        pictures = {"overlay": pixels_of(overlay), "heatmap": pixels_of(heatmap)}
        return parts | pictures | {"recipe": recipe.model_dump(mode="json")}

    def expect(self, given: Given) -> Parts:
        explanation, style = explain(given), style_of(given, GUIDE_STYLE)
        return {
            "prediction": require_map(explanation, 0).target.label,
            "confidence": explanation.task.scorer.score(explanation, 0),
            "notes": list(explanation.notes),
            "overlay": explanation.overlay(0, **style.overlay),
            "heatmap": result_folder.bare_map(explanation, 0, style),
            "recipe": explanation.recipe.model_dump(mode="json"),
        }


def _word_of(option: str, value: Any) -> tuple[str, Any]:
    """Return a word of another library for an option with its value, or the option itself without one."""
    for words, ours in guide_words.names().items():
        for name, _, only in (one.partition("=") for one in ours.split()):
            if name == option and only in ("", value):
                return words.split(", ")[0], True if only else value
    return option, value


# Tools for assistants


class Mcp(ApiDoor):
    name, about = "MCP", "the tool `explain` of assistants"
    target = "target"
    """The argument for the only class."""

    @property
    def arguments(self) -> frozenset[str]:
        """The tool's arguments."""

        async def list_arguments() -> frozenset[str]:
            tools = await create_server(WorkQueue(1), local=True).list_tools()
            return frozenset(next(tool.input_schema["properties"] for tool in tools if tool.name == "explain"))

        return _wait_for(list_arguments())

    @property
    def offers(self) -> frozenset[str]:
        ours = {guide_words.renamed(name, OFFERED) or name for name in self.arguments}
        return frozenset(OPTIONS) & ours

    def fixed(self, given: Given) -> Json:
        return {"top_k": 1}

    def ask(self, given: Given) -> Parts:
        arguments = {name: given[name] for name in ("model", "question") if name in given}
        arguments |= {self.target: given["targets"][0]} if "targets" in given else {}

        async def call() -> Any:
            async with Client(create_server(WorkQueue(1), local=True)) as client:
                return await client.call_tool("explain", {"picture": PICTURE, **arguments})

        answer = _wait_for(call())
        if answer.is_error:
            raise Refused(answer.content[0].text)
        picture, text = answer.content
        said = json.loads(text.text)
        parts = {name: said[name] for name in ("headline", "recipe", "map_of")}
        return parts | {"picture": pixels_of(b64decode(picture.data))}

    def expect(self, given: Given) -> Parts:
        explanation = explain(given)
        digest = hashlib.sha256(explanation.heatmaps[0].values.tobytes()).hexdigest()
        recipe = hashlib.sha256(f"{explanation.recipe.model_dump_json()}{digest}".encode()).hexdigest()
        return {
            "headline": plain_text(describe(explanation, "bright").headline),
            "recipe": recipe[:12],
            "map_of": explanation.heatmaps[0].target.label,
            "picture": pixels_of(to_jpeg(result_folder.one_map(explanation, 0))),
        }


def _wait_for(work: Any) -> Any:
    """Return the result of a coroutine, in a thread with a loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


# Pages


class Page(Door):
    """Explore, and Top-k for a number of classes; the picture is the packaged one of the model."""

    name, about = "page", "Explore and Top-k, by their controls and addresses"
    within = 2 / 65535
    """Step of the values that a browser is sent, of a map with both signs."""
    own: ClassVar[Mapping[str, str]] = {
        "targets": "class",
        "at": places.AT,
        "against": places.AGAINST,
        "model": "model",
    }
    """Names in the address of options that are no controls: what is clicked in the list, in the picture, in a menu."""
    unsaid = frozenset(("question", *SETTINGS))
    """Options without a sentence for a wrong value: one is a button, others are the browser's, which leaves it out."""

    @property
    def offers(self) -> frozenset[str]:
        by_controls = {control.option for control in CONTROLS}
        asked = {"question"} if controls.QUESTIONS else set()
        return frozenset(OPTIONS) & (by_controls | self.own.keys() | set(SETTINGS) | asked)

    def fixed(self, given: Given) -> Json:
        return {"per": "detection", "top_k": MAX_MAPS} if detects(given) and "top_k" not in given else {}

    def ask(self, given: Given) -> Parts:
        app = AppTest.from_file(str(ROOT / "dashboard.py"), default_timeout=patience(120))
        for name, text in [("example", self._example(given)), *self._write(given)]:
            app.query_params[name] = text
        harness.run_first(app, "topk" if "top_k" in given else "")
        if "question" in given:
            next(each for each in app.segmented_control if each.label == "Question").set_value(given["question"]).run()
        for said in (*app.toast, *app.error):
            raise Refused(said.value)
        last = session(app, explain_job.Explained).last
        explanation = None if last is None else explain_job.find(last)
        assert explanation is not None, given
        view, place = shown(app), self._find_map(explanation, given)
        drawn = (view.shared if "scale" in given else view.maps)[place]
        looks = {name: view.head["initial"][name] for name in given if name in SETTINGS}
        assert "targets" not in given or parameter(app, "class") == given["targets"][0]
        return self._select(explanation, place, given) | {"shown": drawn, "looks": looks}

    def expect(self, given: Given) -> Parts:
        explanation = explain(given, load_bundled(self._example(given)))
        place = self._find_map(explanation, given)
        heatmap, looks = explanation.heatmaps[place], {name: str(given[name]) for name in given if name in SETTINGS}
        # It is sent from 0 to 1 whatever its range.
        drawn = (heatmap.content + 1) / 2 if heatmap.signed else heatmap.content
        return self._select(explanation, place, given) | {"shown": drawn, "looks": looks}

    def _example(self, given: Given) -> str:
        known = catalog.catalog().get(given["model"])
        return "scene 3" if known is None else known.example

    def _find_map(self, explanation: Explanation, given: Given) -> int:
        """Return the place of the map that is shown first."""
        labels = [heatmap.target.label for heatmap in explanation.heatmaps]
        return labels.index(given["targets"][0]) if "targets" in given else 0

    def _select(self, explanation: Explanation, place: int, given: Given) -> Parts:
        """Return the recipe but for what the viewer and the list change, and a map's numbers and raw values."""
        heatmap, numbers = explanation.heatmaps[place], results.Explained.build(explanation).to_dict()
        raws = {f"raw {layer}": raw for layer, raw in zip(heatmap.layers, heatmap.raw, strict=True)}
        recipe = explanation.recipe.model_dump(mode="json", exclude={"scale", "targets"})
        # Those of another scale are the browser's.
        statistics = {} if "scale" in given else numbers["statistics"][place]
        return raws | {"recipe": recipe, "statistics": statistics, "notes": numbers["notes"]}

    def _write(self, given: Given) -> Iterator[tuple[str, str]]:
        """Yield the parameters of the address for options."""
        fixed = self.fixed(given)
        for name, value in given.items():
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for control in CONTROLS:
                if control.option == name and fixed.get(name) != value:
                    yield control.name, self._encode(control, value, text)
            if name in SETTINGS or name in self.own:
                yield self.own.get(name, name), text

    def _encode(self, control: Control, value: Any, text: str) -> str:
        """Return an option's value as a control has it in the address; a wrong one as it is."""
        widget, back = control.codec
        in_widget = widget(value)
        is_whole = control.option == "joint" or back(in_widget) == value
        return url_state.to_text(in_widget) if is_whole else text

    def repeats(self, said: str, sentence: str, option: str) -> bool:
        return said == sentence or said.endswith("is not offered here: it was left out.")


def open_doors() -> list[Door]:
    """Return all doors, with one client for those of the API."""
    doors: list[Door] = [Command(), Batch(), Run(), ApiJson(), ApiForm(), Guides(), Mcp(), Page(), Replay()]
    client = TestClient(create())
    for door in doors:
        if isinstance(door, ApiDoor):
            door.client = client
    return doors
