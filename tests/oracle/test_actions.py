"""Actions in any order: each answer of library, API and Saved is that of a quiet run, and nothing saved is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from PIL import Image as Pillow
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.common.errors import Cancelled, Problem
from sightglass.explain import Explainer, Explanation, Image
from sightglass.explain.evidence.cache import clear_all
from sightglass.explain.evidence.determinism import own_random_state
from sightglass.explain.evidence.loaded_model import MODEL_CACHE
from sightglass.explain.explainer import replay
from sightglass.explain.maps.heatmap import Heatmap
from sightglass.explain.picture.image import load_bundled, to_png
from sightglass.explain.recipe import Recipe
from sightglass.history import History, Record
from sightglass.report import results
from sightglass.report.view import View
from tests.faults.outcome import is_one_sentence
from tests.oracle.budget import budget

steps = settings(budget, max_examples=max(2, budget.max_examples // 3), stateful_step_count=12)
CLASSES, BOXES, WORDS = "demo-cls-s", "demo-s", "demo-clip"
ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
    (CLASSES, {}),
    (CLASSES, {"method": "hirescam", "layers": ("layer3",)}),
    (CLASSES, {"targets": ("gear", "star"), "part": "contrast"}),
    (CLASSES, {"method": "occlusion", "masks": 16, "top_k": 1}),
    (CLASSES, {"smooth": "flips", "evidence": "both"}),
    (CLASSES, {"targets": ("no such class",)}),
    (CLASSES, {"per": "pixel", "at": (3.0, 4.0)}),
    (BOXES, {}),
    (BOXES, {"per": "detection", "confidence": 0.1, "top_k": 2}),
    (BOXES, {"method": "drise", "masks": 8, "top_k": 1}),
    (BOXES, {"top_k": 0}),
    (WORDS, {"vocabulary": ("red star", "blue ball"), "top_k": 1}),
    (WORDS, {"vocabulary": ("gear",), "top_k": 1}),
)
"""Models and options, some of which are refused."""
asked = st.sampled_from(ASKED)
Request = tuple[str, dict[str, str], tuple[tuple[str, str], ...]]
NAMES = ("a.png", "b.png", "text.png")
REQUESTS: tuple[Request, ...] = (
    ("explain", {"model": CLASSES}, ()),
    ("explain", {"model": CLASSES, "classes": "gear", "method": "hirescam"}, ()),
    ("explain", {"model": CLASSES, "method": "eigencan"}, ()),
    ("explain", {"model": "nope"}, ()),
    ("explain", {"model": BOXES, "confidence": "7"}, ()),
    ("detect", {"model": BOXES, "per": "detection", "top_k": "1"}, ()),
    ("detect", {"model": CLASSES}, ()),
    ("segment", {"model": "demo-seg"}, ()),
    ("compare", {"models": "demo-cls-s"}, ()),
    ("prove", {"model": CLASSES, "steps": "4"}, ()),
    ("similarity", {"model": "demo-reid"}, (("other", "b.png"),)),
    ("similarity", {"model": CLASSES}, (("other", "a.png"),)),
)
"""Routes with their fields and further pictures; some are refused."""
TIMES = ("milliseconds", "timing", "fastest", "steady")
TAGS = ("a", "b c", "ü")
notes = st.sampled_from(("", "why?", "a line\nand another"))
titles = st.sampled_from(("What it saw", "Größe", "3 < 4"))


@cache
def picture(number: int) -> Image:
    """Return one of the pictures; a grey one for 0."""
    pixels = load_bundled(f"scene {number}").pixels if number else np.full((90, 120, 3), 128, np.uint8)
    return Image(np.asarray(Pillow.fromarray(pixels).resize((192, 165))), f"{number}.png")


pictures = st.sampled_from((0, 1, 3)).map(picture)


@cache
def files() -> dict[str, bytes]:
    """Return what is sent, by its name; the last one is no picture."""
    return dict(zip(NAMES, (to_png(picture(1).pixels), to_png(picture(3).pixels), b"no picture"), strict=True))


@cache
def explanations() -> list[Explanation]:
    """Return what is saved."""
    questions = ((CLASSES, 3, {"top_k": 2}), (BOXES, 3, {}), (CLASSES, 0, {"top_k": 1}))
    return [Explainer(model)(picture(number), **options) for model, number, options in questions]


def bits_of(heatmaps: Iterable[Heatmap]) -> list[int]:
    """Return numbers that are equal where all values of maps are."""
    return [hash(raw.tobytes()) for heatmap in heatmaps for raw in heatmap.raw]


def facts_of(explanation: Explanation) -> dict[str, Any]:
    """Return what an explanation says, and the bits of its maps."""
    said: dict[str, Any] = without_times(results.Explained.build(explanation).to_dict())
    return said | {"maps": bits_of(explanation.heatmaps)}


def answer_of(act: Callable[[], Any]) -> Any:
    """Return an answer, or the sentence of what was refused."""
    try:
        return act()
    except Problem as problem:
        return str(problem)


def without_times(answer: Any) -> Any:
    """Return an answer without what depends on the time that it took."""
    if isinstance(answer, list):
        return [without_times(part) for part in answer]
    if isinstance(answer, dict):
        return {name: without_times(part) for name, part in answer.items() if name not in TIMES}
    return answer


class Memory:
    """What each question was answered first."""

    def __init__(self) -> None:
        self._answers: dict[str, Any] = {}

    def check(self, question: Any, answer: Any) -> None:
        """Check that a question has the same answer as before."""
        assert self._answers.setdefault(repr(question), answer) == answer


LIBRARY, SERVER = Memory(), Memory()


class Library(RuleBasedStateMachine):
    """One process that explains: what was asked before must not change an answer, to the bit.

    Lists are among the laws: together the last bits of a picture are others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[Any, Explanation]] = []

    def ask(self, question: Any, make: Callable[[], Explanation]) -> None:
        """Ask, compare, and keep the explanation for actions on it."""
        made: list[Explanation] = []

        def act() -> Any:
            made.append(make())
            return facts_of(made[0])

        LIBRARY.check(question, answer_of(act))
        self.kept += [(question, explanation) for explanation in made]

    @rule(image=pictures, question=asked)
    def explain(self, image: Image, question: tuple[str, dict[str, Any]]) -> None:
        model, options = question
        self.ask((model, image.name, options), lambda: Explainer(model)(image, **options))

    @precondition(lambda self: self.kept)
    @rule(data=st.data(), method=st.sampled_from(("gradcam", "saliency", "eigencam", "tested", "nope")))
    def change_method(self, data: st.DataObject, method: str) -> None:
        question, explanation = data.draw(st.sampled_from(self.kept))
        LIBRARY.check((question, method), answer_of(lambda: facts_of(explanation.with_method(method))))

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def check_again(self, data: st.DataObject) -> None:
        question, explanation = data.draw(st.sampled_from(self.kept))
        LIBRARY.check((question, "checks"), answer_of(lambda: [mark.words for mark in explanation.checks(0)]))

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        _, explanation = data.draw(st.sampled_from(self.kept))
        again = replay(Recipe.model_validate_json(explanation.recipe.model_dump_json()), explanation.image)
        assert again.recipe == explanation.recipe
        assert bits_of(again.heatmaps) == bits_of(explanation.heatmaps)

    @rule(image=pictures, question=asked)
    def stop(self, image: Image, question: tuple[str, dict[str, Any]]) -> None:
        model, options = question
        stopped = threading.Event()
        stopped.set()
        # What is known already needs no time.
        with suppress(Cancelled):
            self.ask((model, image.name, options), lambda: Explainer(model)(image, cancel=stopped, **options))

    @rule()
    def lose_caches(self) -> None:
        clear_all()

    @rule()
    def unload_models(self) -> None:
        MODEL_CACHE.free()

    @rule(seed=st.integers(0, 99), gradients=st.booleans())
    def change_modes(self, seed: int, gradients: bool) -> None:
        torch.manual_seed(seed)
        torch.set_grad_enabled(gradients)
        assert torch.is_grad_enabled() == gradients


class Server(RuleBasedStateMachine):
    """The API: a request's answer does not depend on those before it, or on those beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.client = TestClient(create(), raise_server_exceptions=False)
        self.client.__enter__()
        self.recipes: list[str] = []

    def teardown(self) -> None:
        self.client.__exit__(None, None, None)

    def send(self, request: Request, name: str) -> Any:
        """Return what is answered, or what is wrong."""
        route, fields, others = request
        sent = [("image", (name, files()[name])), *((field, (other, files()[other])) for field, other in others)]
        answer = self.client.post(f"/api/{route}", files=sent, data=fields)
        assert answer.status_code < 500, answer.text
        said = answer.json()
        assert "Traceback" not in answer.text
        if answer.status_code != 200:
            assert said["status"] == answer.status_code and is_one_sentence(said["detail"])
        return without_times(said)

    @rule(request=st.sampled_from(REQUESTS), name=st.sampled_from(NAMES))
    def ask(self, request: Request, name: str) -> None:
        SERVER.check((request, name), self.send(request, name))

    @rule(several=st.lists(st.tuples(st.sampled_from(REQUESTS), st.sampled_from(NAMES)), min_size=2, max_size=3))
    def ask_together(self, several: list[tuple[Request, str]]) -> None:
        with ThreadPoolExecutor(len(several)) as pool:
            answers = [*pool.map(lambda each: self.send(*each), several)]
        for asked_for, answer in zip(several, answers, strict=True):
            SERVER.check(asked_for, answer)

    @rule(route=st.sampled_from(("health", "health/alive", "health/ready", "models", "metrics", "nothing")))
    def get_status(self, route: str) -> None:
        answer = self.client.get(f"/api/{route}")
        assert answer.status_code == (404 if route == "nothing" else 200)

    @rule()
    def unload_models(self) -> None:
        MODEL_CACHE.free()


class Saved(RuleBasedStateMachine):
    """A history that two processes use, beside lists in memory of what it should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.records: dict[str, tuple[Record, int]] = {}
        self.decks: dict[str, tuple[str, list[str]]] = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    def open(self) -> History:
        """Return the history as another process opens it."""
        return History(Path(self.folder.name) / "history")

    @rule(number=st.integers(0, 2), note=notes, tags=st.lists(st.sampled_from(TAGS), max_size=2))
    def keep(self, number: int, note: str, tags: list[str]) -> None:
        explanation = explanations()[number]
        record = self.open().keep(explanation, index=number % len(explanation.heatmaps), note=note, tags=tags)
        self.records[record.id] = record, number

    @precondition(lambda self: self.records)
    @rule(data=st.data(), note=notes, tags=st.lists(st.sampled_from(TAGS), max_size=2))
    def annotate(self, data: st.DataObject, note: str, tags: list[str]) -> None:
        record, number = data.draw(st.sampled_from([*self.records.values()]))
        changed = self.open().annotate(record.id, note=note, tags=tags)
        assert changed == replace(record, note=changed.note, tags=changed.tags, bytes=changed.bytes)
        assert (changed.note, changed.tags) == (note, tuple(dict.fromkeys(tags)))
        self.records[record.id] = changed, number

    @precondition(lambda self: self.records)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from([*self.records]), min_size=1, unique=True))
        self.open().delete(chosen)
        for id in chosen:
            del self.records[id]
            with pytest.raises(Problem, match="deleted"):
                self.open().get(id)

    @precondition(lambda self: self.records)
    @rule(data=st.data())
    def export(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from([*self.records]), min_size=1, unique=True))
        assert len({name for name, _ in self.open().export(chosen)}) >= len(chosen)

    @rule()
    def lose_index(self) -> None:
        for path in (Path(self.folder.name) / "history").glob("index.db*"):
            path.unlink()

    @rule(title=titles)
    def create_deck(self, title: str) -> None:
        self.decks[self.open().decks.create(title).id] = title, []

    @precondition(lambda self: self.decks)
    @rule(data=st.data(), title=titles)
    def add_slide(self, data: st.DataObject, title: str) -> None:
        id = data.draw(st.sampled_from([*self.decks]))
        self.open().decks.add(id, View(title, kind="words"))
        self.decks[id][1].append(title)

    @precondition(lambda self: any(slides for _, slides in self.decks.values()))
    @rule(data=st.data(), title=titles)
    def change_slides(self, data: st.DataObject, title: str) -> None:
        id = data.draw(st.sampled_from([id for id, (_, slides) in self.decks.items() if slides]))
        expected = self.decks[id][1]
        place = data.draw(st.integers(0, len(expected) - 1))
        decks = self.open().decks
        slide = decks.get(id).slides[place]
        action = data.draw(st.sampled_from(("edit", "remove", "first")))
        if action == "edit":
            decks.edit(slide.id, title=title)
            expected[place] = title
        elif action == "remove":
            decks.remove(slide.id)
            del expected[place]
        else:
            decks.change(id, slides=[slide])
            expected.insert(0, expected.pop(place))

    @precondition(lambda self: self.decks)
    @rule(data=st.data())
    def delete_deck(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from([*self.decks]))
        self.open().decks.delete(id)
        del self.decks[id]

    @invariant()
    def nothing_is_lost(self) -> None:
        history = self.open()
        found = {record.id: record for record in history.search().records}
        assert found == {id: record for id, (record, _) in self.records.items()}
        for tag in TAGS:
            tagged = {record.id for record in history.search(tag=tag).records}
            assert tagged == {id for id, (record, _) in self.records.items() if tag in record.tags}
        decks = {deck.id: (deck.title, [slide.view.title for slide in deck.slides]) for deck in history.decks.all()}
        assert decks == self.decks

    @precondition(lambda self: self.records)
    @rule(data=st.data())
    def read_maps(self, data: st.DataObject) -> None:
        record, number = data.draw(st.sampled_from([*self.records.values()]))
        assert bits_of(self.open().heatmaps(record)) == bits_of(explanations()[number].heatmaps)


@pytest.mark.parametrize("machine", [Library, Server, Saved])
def test_actions_in_any_order(machine: type[RuleBasedStateMachine]) -> None:
    with torch.enable_grad(), own_random_state():
        run_state_machine_as_test(machine, settings=steps)
