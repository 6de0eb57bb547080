"""At every door a name of other libraries works, or is answered by one sentence that has ours: never by a TypeError."""

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from mcp.client import Client

import sightglass
from sightglass.api.tools import create_server
from sightglass.api.work import WorkQueue
from sightglass.cli import main
from sightglass.common import guide_words
from sightglass.common.arguments import called_as
from sightglass.explain import Explainer
from sightglass.explain.options import OF_DRAWING, OF_MODEL, OFFERED
from sightglass.explain.rendering.style import Style
from tests.unit.own_nets import Reader

WORDS = [(word, ours) for words, ours in guide_words.names().items() for word in words.split(", ")]
PICTURE = np.full((64, 64, 3), 90, np.uint8)
CALLED = inspect.signature(Explainer.__call__).parameters


@pytest.fixture(scope="module")
def result() -> sightglass.Explanation:
    return Explainer("demo-cls-s")(PICTURE, top_k=1)


def said(call: Callable[[], Any]) -> str:
    """Return the sentence that a call is refused with."""
    with pytest.raises(sightglass.Problem) as caught:
        call()
    sentence = str(caught.value)
    assert sentence.endswith((".", "?")) and "\n" not in sentence
    return sentence


def ours_of(word: str, names: Any) -> str:
    ours = word if word in names else guide_words.renamed(word, names)
    return "" if ours is None else ours.partition("=")[0]


@pytest.mark.parametrize("word", [word for word, _ in WORDS])
def test_python_names_ours(word: str, result: sightglass.Explanation) -> None:
    construct = inspect.signature(Explainer).parameters
    if word not in construct:
        sentence = said(lambda: Explainer("demo-cls-s", **{word: None}))
        assert ours_of(word, [*construct, *OFFERED]) in sentence
    if word not in OFFERED and word not in CALLED:
        sentence = said(lambda: Explainer("demo-cls-s")(PICTURE, **{word: 1}))
        assert ours_of(word, [*OFFERED, *OF_MODEL, *OF_DRAWING]) in sentence
    doors: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (sightglass.overlay, (np.ones((2, 2)), PICTURE)),
        (sightglass.contact_sheet, ([PICTURE],)),
        (sightglass.replay, ("a.json", PICTURE)),
        (result.overlay, ()),
        (result.prove, ()),
        (result.checks, ()),
        (result.with_method, ("hirescam",)),
        (result.with_targets, ()),
        (result.save, ("folder",)),
    ]
    for door, arguments in doors:
        parameters = inspect.signature(door).parameters
        if word not in parameters:
            assert ours_of(word, parameters) in said(lambda call=door, args=arguments: call(*args, **{word: 1}))
    if word not in OFFERED:
        assert ours_of(word, [*OFFERED, *OF_MODEL, *OF_DRAWING]) in said(lambda: result.with_options(**{word: 1}))


@pytest.mark.parametrize("word", [word for word, _ in WORDS])
def test_the_command_line_names_ours(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    for option in (f"--{word}", f"--{word.replace('_', '-')}"):
        code = main(["image", "a.png", option, "1"])
        err = capsys.readouterr().err
        assert code in (1, 2) and "should not have happened" not in err
        taken = "No such option" not in err
        assert taken or ours_of(word, OFFERED) == "", err
        assert "--" in err or taken


def test_tools_name_ours() -> None:
    async def ask() -> list[tuple[str, Any]]:
        async with Client(create_server(WorkQueue(1), local=True)) as client:
            words = [word for word, _ in WORDS if word not in ("model", "target")]
            calls = [client.call_tool("explain", {"picture": "bus.jpg", word: "x"}) for word in words]
            return [(word, await call) for word, call in zip(words, calls, strict=True)]

    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(asyncio.run, ask()).result()
    for word, answer in answers:
        sentence = answer.content[0].text
        assert answer.is_error and word in sentence
        assert ours_of(word, ("picture", "model", "target", "question", "checks")) in sentence


def test_wrong_calls_say_how_to_call(result: sightglass.Explanation) -> None:
    explainer = Explainer("demo-cls-s")
    assert "Call it as Explainer(model, layers=..." in said(lambda: Explainer("demo-cls-s", ["layer4"]))
    assert "Call it as explainer(picture, targets=..." in said(lambda: explainer(PICTURE, [3]))
    assert "missing a required argument: 'source'" in said(lambda: explainer())
    assert "give the picture first, without a name" in said(lambda: explainer(input_tensor=PICTURE))
    assert "'picture'" in said(lambda: sightglass.overlay(np.ones((2, 2))))
    assert "give them without a name" in said(lambda: result.with_targets(targets=[3]))
    assert "give it with the picture" in said(lambda: Explainer("demo-cls-s", method="gradcam"))
    assert "Explainer(model, preprocess=...)" in said(lambda: explainer(PICTURE, transform=1))
    assert "result.overlay(colormap=...)" in said(lambda: explainer(PICTURE, colormap="jet"))
    assert "leave it out" in said(lambda: Explainer("demo-cls-s", reshape_transform=1))


def test_a_type_error_within_a_call_stays_one() -> None:
    @called_as("double(number)")
    def double(number: Any) -> Any:
        return number + "2"

    with pytest.raises(TypeError, match="unsupported operand"):
        double(1)


def test_an_explainer_is_used_like_those_with_hooks() -> None:
    net = Reader().eval()
    with Explainer(model=net, layers=[net.stem], preprocess={"size": 64}) as explainer:
        assert explainer(PICTURE, top_k=1).heatmaps
    assert not net.stem._forward_hooks


def test_what_belongs_to_the_model_is_what_an_explainer_takes() -> None:
    own = {"layers", "model_cache", "progress"}
    assert {*inspect.signature(Explainer).parameters} - own == {*OF_MODEL}
    assert {*OF_DRAWING} < {*inspect.signature(sightglass.Explanation.overlay).parameters}


def test_colormaps_are_a_dictionary() -> None:
    maps = sightglass.colormaps
    assert maps["jet"] == maps()["jet"] == maps()["COLORMAP_JET"] == maps().get("JET") == 2
    assert dict(maps().items())["viridis"] == maps["viridis"] and len([*maps]) == len(maps())
    assert "hotter" not in maps()
    with pytest.raises(KeyError):
        maps()["hotter"]
    assert Style.parse(maps["gray"]).colormap == "gray"


def test_a_result_is_drawn_as_usual_without_a_colormap(result: sightglass.Explanation) -> None:
    assert (result.overlay(colormap=None, alpha=None, mode=None) == result.overlay()).all()
    assert (result.overlay(colormap=2) == result.overlay(colormap="jet")).all()
