"""Names from outside are one line of text, and a mistyped one is answered with the one that was meant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from torch import nn

from sightglass.cli.console import Console
from sightglass.common.errors import ModelProblem, Problem, did_you_mean, nearest
from sightglass.common.legible import MAX_NAME, MAX_WORD, legible, one_line
from sightglass.explain import Explainer

if TYPE_CHECKING:
    from collections.abc import Callable

    Lines = Callable[[], list[dict[str, Any]]]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<b>$x$</b>", "<b>$x$</b>"),
        ("cat\nERROR injected", "cat ERROR injected"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("a\x00b\x1b[31m", "a b [31m"),
        ("\ud800", "(no name)"),
        ("a\ufffe\uffffb", "a b"),
        ("家\u200d族", "家\u200d族"),
        ("x" * MAX_NAME, "x" * MAX_NAME),
    ],
)
def test_a_name_is_one_line_without_what_is_not_seen(given: str, shown: str) -> None:
    assert legible(given) == shown
    assert len(legible("x" * 10_000)) == MAX_NAME


def test_a_sentence_is_one_line_and_repeats_no_word_at_any_length(capsys: pytest.CaptureFixture[str]) -> None:
    name = f"{'x' * MAX_NAME!r}"
    assert one_line(f"There is no model {name}.") == f"There is no model {name}."
    folder = f"/start/{'x' * 10_000}/end.png"
    short = str(Problem(f"{folder} cannot be read."))
    assert short.startswith("/start/x") and "x…x" in short and short.endswith("/end.png cannot be read.")
    assert len(short.split()[0]) == MAX_WORD
    assert str(Problem("a\nb\u202e cannot be read.")) == "a b cannot be read."
    Console(as_json=True).fail(f"{folder} cannot be read.")
    said = capsys.readouterr()
    assert said.err == f"{short}\n"
    assert json.loads(said.out) == {"error": short}


def test_no_name_reaches_a_terminal_as_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b]0;title\a\x9b2Jb\r\u202ec"
    console = Console()
    console.say(f"one {hostile}\n\ttwo")
    console.table(("name",), [[hostile]])
    console.warn(hostile)
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert "title" in text and not set(text) & set("\x1b\a\x9b\r\u202e")
    assert said.out.startswith("one a ]0;title 2Jb c\n\ttwo\n")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "\uffff", "\u202ex"])
def test_a_model_whose_layers_have_illegible_names_is_refused(name: str) -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.add_module(name, nn.Linear(3, 4))
    with pytest.raises(ModelProblem, match="has a layer with control characters in its name") as caught:
        Explainer(net, labels=["a", "b", "c", "d"])
    assert str(caught.value).isprintable()


def test_a_mistyped_name_is_answered_with_the_nearest() -> None:
    assert nearest("GRADCAN", ["GradCAM", "LayerCAM"]) == ["GradCAM"]
    assert nearest("resnet19", ["resnet18", "resnet101"], n=3, cutoff=0.85) == ["resnet18"]
    assert did_you_mean("resnet19", ["resnet18", "resnet101"], n=2) == "did you mean resnet18 or resnet101?"
    assert did_you_mean("zebra", ["a"], "choose one of a.") == "choose one of a."
    assert did_you_mean("zebra", ["a"]) == ""
