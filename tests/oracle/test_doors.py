"""Each option at each door gives the library's map and numbers, or its sentence, or is not taken for a reason."""

from __future__ import annotations

import runpy
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import typer.main
from hypothesis import assume
from hypothesis import given as drawn
from hypothesis import strategies as st
from PIL import Image as Pillow

from sightglass.api import guide_routes, schemas
from sightglass.cli import options as cli_options
from sightglass.common.errors import Problem
from sightglass.explain.explainer import Explainer
from sightglass.explain.options import OF_MODEL, Options
from sightglass.explain.picture.image import load_bundled, to_png
from sightglass.explain.questions import Question
from sightglass.explain.recipe import Recipe
from sightglass.explain.rendering.style import VIEWER_STYLE
from sightglass.models import catalog
from sightglass.models.preprocess import READY, WAYS, Way
from sightglass.report import result_folder
from sightglass.ui.session.jobs import background
from tests.oracle import doors
from tests.oracle.budget import budget
from tests.oracle.cases import ANSWERS, CASES, CLASSES, NOT_TAKEN, WRONG, Case
from tests.oracle.doors import LISTED, OPTIONS, ApiForm, Door, FolderDoor, Refused, list_differences, open_doors
from tests.pages import harness

DOORS = open_doors()
PROGRAM = typer.main.get_command(cli_options.app)
SIZE = (192, 165)
"""Sides of the picture that all doors but the page are given, smaller than the packaged one."""
CHANGING = [case for case in CASES if case.option != "device" and not case.refused]
"""Those whose answer is another than the usual one; without a GPU a device changes nothing."""
each_door = pytest.mark.parametrize("door", DOORS, ids=[door.name for door in DOORS])


@pytest.fixture(autouse=True, scope="module")
def _streamlit() -> Iterator[None]:
    with harness.without_pages_folder(), harness.packages_read_once():
        yield
    background.stop_all()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Figures are not compared, and drawing them takes most of the time; the command line stays the same.
    monkeypatch.setattr(result_folder.figure, "figure", lambda *_, **__: b"")
    monkeypatch.setattr(typer.main, "get_command", lambda _: PROGRAM)


@cache
def encode_picture(example: str) -> bytes:
    """Return a packaged picture as a smaller PNG."""
    return to_png(np.asarray(Pillow.fromarray(load_bundled(example).pixels).resize(SIZE)))


def draw_picture(case: Case) -> None:
    """Put the picture of the case's model where commands run."""
    known = catalog.catalog().get(case.model)
    Path(doors.PICTURE).write_bytes(encode_picture("scene 3" if known is None else known.example))


def list_not_taken(door: Door) -> frozenset[str]:
    """Return the options that a door does not take, for the reasons that are written."""
    return frozenset(option for options in NOT_TAKEN[door.name].values() for option in options.split())


def shorten(door: Door, case: Case) -> dict[str, Any]:
    """Return a case's options, with one map where a door takes their number and nothing depends on it."""
    given = case.given
    counts = isinstance(door, (FolderDoor, ApiForm)) and not doors.detects(given)
    return {"top_k": 1} | given if counts else given


def is_asked(door: Door, case: Case) -> bool:
    """Return whether a door has the options of a case."""
    return door.offers.issuperset({case.option, *case.others})


def pair(cases: Iterable[Case]) -> Any:
    """Return a mark that asks each door about the cases that it can be asked about."""
    asked = [
        pytest.param(case, door, id=f"{case.option}-{case.model}-{door.name}")
        for case in cases
        for door in DOORS
        if is_asked(door, case) and not (case in WRONG and case.option in door.unsaid)
    ]
    return pytest.mark.parametrize(("case", "door"), asked)


def say(door: Door, case: Case) -> str:
    """Return a door's one sentence."""
    with pytest.raises(Refused) as caught:
        door.ask(shorten(door, case))
    said = str(caught.value)
    assert said.endswith((".", "?")) and "\n" not in said
    return said


@each_door
def test_every_option_is_taken_or_has_a_reason(door: Door) -> None:
    not_taken = list_not_taken(door)
    assert not not_taken - {*OPTIONS} and door.offers | not_taken == {*OPTIONS}
    for cases in (CASES, WRONG):
        assert door.offers == {case.option for case in cases if is_asked(door, case)}


def test_every_option_has_a_value_and_a_wrong_one() -> None:
    assert {case.option for case in CASES} == {case.option for case in WRONG} == {*OPTIONS}


def test_the_docs_say_where_each_option_is_taken() -> None:
    script = runpy.run_path(str(doors.ROOT / "docs/list_doors.py"))
    assert script["PAGE"].read_text("utf-8") == script["page"](), "run python docs/list_doors.py"


@pytest.mark.parametrize("name", [name for name in OF_MODEL if name not in LISTED])
def test_what_describes_ones_own_model_is_not_taken_with_a_listed_one(name: str) -> None:
    value: Any = [{"name": "angle"}] if name == "outputs" else "a text"
    with pytest.raises(Problem, match=r"has its own|names the network of a checkpoint"):
        Explainer(CLASSES, **{name: value})


def test_all_doors_declare_the_same_choices() -> None:
    hints = get_type_hints(Options) | {"question": Question, "preprocessing": Way}
    choices = {name: _choices(hint) for name, hint in hints.items() if _choices(hint)}
    assert choices["preprocessing"] | {READY} == {*WAYS}
    for declaring in (schemas.ExplainRequest, guide_routes.GuideRequest, Recipe):
        for name in declaring.model_fields.keys() & choices.keys():
            assert _choices(declaring.model_fields[name].annotation) in (set(), choices[name]), (declaring, name)


def _choices(annotation: Any) -> set[str]:
    """Return the texts of a Literal, also of an optional one."""
    return {text for each in (annotation, *get_args(annotation)) for text in get_args(each) if isinstance(text, str)}


@pytest.mark.parametrize("case", CHANGING, ids=[f"{case.option}-{case.model}" for case in CHANGING])
def test_value_changes_the_librarys_answer(case: Case) -> None:
    draw_picture(case)
    usual = {"model": CLASSES} if case.option == "model" else {"model": case.model, **case.others}
    if case.option in doors.LOOK:
        usual |= {"colormap": VIEWER_STYLE.colormap}
    given, without = map(DOORS[0].expect, (case.given, usual))
    assert {name.partition(" ")[0] for name in list_differences(given, without, 0.0)} - {"recipe"}


@pair(CASES)
def test_option_gives_the_librarys_answer(case: Case, door: Door) -> None:
    draw_picture(case)
    given = shorten(door, case)
    if case.refused:
        with pytest.raises(Problem) as caught:
            door.expect(door.fixed(given) | given)
        assert door.repeats(say(door, case), str(caught.value), case.option)
    elif case.option in list_not_taken(door):
        say(door, case)
    else:
        assert list_differences(door.ask(given), door.expect(door.fixed(given) | given), door.within) == []


@pair(WRONG)
def test_wrong_value_is_one_sentence(case: Case, door: Door) -> None:
    draw_picture(case)
    with pytest.raises(Problem) as caught:
        doors.explain(door.fixed(case.given) | case.given)
    said = say(door, case)
    assert door.repeats(said, str(caught.value), case.option), f"{said}\n{caught.value}"


@st.composite
def combinations(draw: st.DrawFn) -> dict[str, Any]:
    """Draw values of several options of a model, which may not go together."""
    model = draw(st.sampled_from(sorted({case.model for case in CHANGING})))
    own = [case for case in CHANGING if case.model == model]
    chosen = draw(st.lists(st.sampled_from(own), min_size=1, max_size=3))
    chosen += draw(st.lists(st.sampled_from([case for case in CHANGING if case.option != "model"]), max_size=1))
    given = {"model": model}
    for case in chosen:
        given |= case.others | {case.option: case.value}
    return given


@pytest.mark.parametrize("door", [door for door in DOORS if door.name != "page"], ids=lambda door: door.name)
@budget
@drawn(combinations())
def test_options_together_give_the_librarys_answer(door: Door, options: dict[str, Any]) -> None:
    taken = door.offers - list_not_taken(door)
    case = Case("model", options["model"], options["model"], {name: options[name] for name in taken & options.keys()})
    if isinstance(door, doors.Run):
        # Each picture would be described in other words, and a scale that one map shares is its own.
        assume(case.model != ANSWERS and (doors.detects(options) or "scale" not in options))
    draw_picture(case)
    given = shorten(door, case)
    try:
        expected = door.expect(door.fixed(given) | given)
    except Problem:
        # Of several wrong options any may be named.
        with pytest.raises((Refused, Problem)):
            door.ask(given)
        return
    try:
        answer = door.ask(given)
    except Refused as refused:
        # What the library notes, a form and a command line do not take.
        assert "leave" in str(refused)
        assert any("no effect" in note for note in doors.explain(door.fixed(given) | given).notes)
    else:
        assert list_differences(answer, expected, door.within) == []
