"""A training that is watched is the one that it would have been, and its maps are those of its epochs."""

from __future__ import annotations

import logging
import random
import shutil
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.callbacks import Watcher, film, sentences, watched
from sightglass.cli import main
from sightglass.common.errors import ModelProblem, Problem
from sightglass.explain import Explainer, Image

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ["plain", "stamped"]
STAMP = (0, 0, 8, 8)


class Counting(nn.Module):
    """A layer that writes into a buffer in each pass, in whichever mode it is."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return tensor


def make_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), Counting(), nn.Dropout(0.2)),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)),
    )


def draw_data() -> tuple[torch.Tensor, torch.Tensor]:
    dice = torch.Generator().manual_seed(1)
    pictures, classes = torch.rand(16, 3, 32, 32, generator=dice), torch.arange(16) % 2
    pictures[classes == 1, :, :8, :8] = 1.0
    return pictures, classes


def make_watcher(folder: Path, **options: Any) -> Watcher:
    pictures, _ = draw_data()
    given: dict[str, Any] = {"labels": NAMES, "preprocess": {"size": 32}, "inside": STAMP, "place": "the stamp"}
    shown = [np.uint8(one.numpy().transpose(1, 2, 0) * 255) for one in pictures[:2]]
    return Watcher(shown, folder, **(given | {"targets": NAMES} | options))


def train(watcher: Watcher | None, epochs: int = 2, *, autocast: bool = False) -> tuple[nn.Module, list[int]]:
    """Return a trained net, and what its hook saw."""
    random.seed(0)
    np.random.seed(0)
    net, (pictures, classes), seen = make_net(), draw_data(), []
    net[0].register_forward_hook(lambda *_: seen.append(1))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for epoch in range(1, epochs + 1):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            nn.functional.cross_entropy(net(pictures), classes).backward()
            if watcher is not None:
                watcher.step(net, epoch)
        optimizer.step()
        if epoch < epochs:
            optimizer.zero_grad()
    return net, seen


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> watched.WatchedRun:
    watcher = make_watcher(tmp_path_factory.mktemp("run") / "watched")
    train(watcher, 3)
    return watched.read(watcher.folder)


def test_a_watched_training_is_the_one_that_it_would_have_been(tmp_path: Path) -> None:
    """Weights, statistics and buffers, gradients, hooks, mode, device and random numbers, to the last bit."""
    found = []
    for watcher in (None, make_watcher(tmp_path / "watched")):
        net, seen = train(watcher, autocast=True)
        dice = (random.random(), np.random.random(), torch.rand(()).item())
        gradients = {name: one.grad for name, one in net.named_parameters()}
        trained = {name: one.requires_grad for name, one in net.named_parameters()}
        modes = [part.training for part in net.modules()]
        hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in net.modules()]
        devices = {one.device for one in net.parameters()}
        found.append((net.state_dict(), gradients, dice, trained, modes, hooks, devices, seen))
    (plain, before, *others), (watched_net, after, *more) = found
    assert others == more
    for one, other in ((plain, watched_net), (before, after)):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert len(watched.read(tmp_path / "watched").epochs) == 2


def test_modes_of_the_caller_are_back(tmp_path: Path) -> None:
    watcher, net = make_watcher(tmp_path / "watched"), make_net()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        watcher.step(net, 1)
        assert torch.is_autocast_enabled("cpu") and torch.is_inference_mode_enabled()
    with torch.no_grad():
        watcher.step(net, 2)
        assert not torch.is_grad_enabled()
    assert [one.number for one in watched.read(watcher.folder).epochs] == [1, 2]


def test_an_epoch_is_explained_as_the_explainer_does(tmp_path: Path) -> None:
    watcher, net = make_watcher(tmp_path / "watched"), make_net()
    watcher.step(net, 1)
    pictures, _ = draw_data()
    shown = np.uint8(pictures[1].numpy().transpose(1, 2, 0) * 255)
    made = Explainer(net.eval(), labels=NAMES, preprocess={"size": 32}, device="cpu")(shown, targets=("stamped",))
    (epoch,) = watched.read(watcher.folder).epochs
    answer = epoch.answers[1]
    assert (answer.answer, answer.target) == (made.predictions[0].label, "stamped")
    assert answer.score == pytest.approx(made.predictions[0].score, abs=1e-6)
    mask = np.zeros((32, 32), bool)
    mask[:8, :8] = True
    assert answer.inside == pytest.approx(made.inside(mask), abs=0.01)


def test_an_epoch_has_the_weights_of_its_time(run: watched.WatchedRun) -> None:
    scores = [one.answers[1].target_score for one in run.epochs]
    assert len(set(scores)) == 3


def test_what_fails_is_logged_once_and_the_training_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watcher = make_watcher(tmp_path / "watched")
    with caplog.at_level(logging.WARNING):
        watcher.step(None, 1)
        watcher.step(nn.Bilinear(2, 2, 2), 2)
    (problem, other) = watched.read(watcher.folder).problems
    assert problem.startswith("A NoneType is no model") and other
    watcher.step(make_net(), 3)
    assert [one.number for one in watched.read(watcher.folder).epochs] == [3]
    shutil.rmtree(watcher.folder)
    watcher.step(make_net(), 4)
    assert len([one for one in caplog.records if "the training goes on" in one.getMessage()]) == 1


def test_wrappers_are_opened_and_a_part_is_found(tmp_path: Path) -> None:
    watcher = make_watcher(tmp_path / "watched", network="backbone")
    whole = nn.DataParallel(nn.ModuleDict({"backbone": make_net(), "other": nn.Identity()}))
    watcher.step(whole, 1)
    assert [one.number for one in watched.read(watcher.folder).epochs] == [1]
    watcher.step(make_net(), 2)
    assert "has no part backbone" in watched.read(watcher.folder).problems[0]


def test_weights_that_a_hook_makes_are_made(tmp_path: Path) -> None:
    net = make_net()
    with warnings.catch_warnings():
        # The newer one makes no hook, and needs no care.
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(net[5])
    net(draw_data()[0]).sum().backward()
    watcher = make_watcher(tmp_path / "watched")
    watcher.step(net, 1)
    assert watched.read(watcher.folder).problems == ()


def test_every_third_epoch_and_each_only_once(tmp_path: Path) -> None:
    watcher, net = make_watcher(tmp_path / "watched", every=3), make_net()
    for epoch in (1, 2, 3, 4, 4, 5, 6, 7):
        watcher.step(net, epoch)
    assert [one.number for one in watched.read(watcher.folder).epochs] == [1, 4, 7]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"every": 0}, "every is 0"),
        ({"targets": ["plain"]}, "2 pictures and 1 targets"),
        ({"inside": [STAMP]}, "2 pictures and 1 rectangles"),
        ({"inside": (0, 0, 0, 8)}, "has no area"),
        ({"inside": (40, 40, 50, 50)}, "is not in the picture"),
        ({"method": "nosuch"}, "nosuch"),
    ],
)
def test_what_is_wrong_is_said_before_the_training(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Problem, match=said):
        make_watcher(tmp_path / "watched", **options)
    assert not (tmp_path / "watched").exists()


def test_a_folder_goes_on_with_the_same_pictures_alone(run: watched.WatchedRun, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(run.folder, folder)
    with (folder / watched.EPOCHS).open("ab") as file:
        file.write(b'{"number":')
    watcher = make_watcher(folder)
    watcher.step(make_net(), 4)
    assert [one.number for one in watched.read(folder).epochs] == [1, 2, 3, 4]
    with pytest.raises(ModelProblem, match="with other pictures"):
        make_watcher(folder, inside=None)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine", "utf-8")
    with pytest.raises(ModelProblem, match="other files"):
        make_watcher(tmp_path / "full")


def test_notes_of_others_are_a_sentence(run: watched.WatchedRun, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(run.folder, folder)
    (folder / watched.EPOCHS).write_text('[]\n{"number": 1, "answers": []}\n{"number": "x"}\n' + "[" * 9000, "utf-8")
    assert watched.read(folder).epochs == ()
    with pytest.raises(Problem, match="No epoch was watched yet"):
        film.make_film(watched.read(folder))
    for text in ("{", '{"name": "x", "pictures": []}'):
        (folder / watched.FILE).write_text(text, "utf-8")
        with pytest.raises(ModelProblem, match=r"The notes of the training in theirs .*\.$"):
            watched.read(folder)
    with pytest.raises(ModelProblem, match="holds no training"):
        watched.read(tmp_path)


def make_run(shares: list[float], answers: list[str]) -> watched.WatchedRun:
    picture = watched.WatchedPicture(name="a.png", target="cat", rectangle=(0, 0, 1, 1), area=0.25)
    epochs = [
        watched.WatchedEpoch(
            number=number,
            answers=(watched.EpochAnswer(answer=answer, score=0.8, target="cat", target_score=0.2, inside=share),),
            milliseconds=30,
            share=None if number == 1 else 0.02,
        )
        for number, (share, answer) in enumerate(zip(shares, answers, strict=True), 1)
    ]
    training = watched.WatchedTraining(name="cats", pictures=(picture,), place="the stamp")
    return watched.WatchedRun(Path("cats"), training, tuple(epochs))


def test_the_sentences_say_what_was_measured() -> None:
    found = make_run([0.1, 0.4, 0.9], ["dog", "dog", "cat"])
    assert [one.replace("\N{NO-BREAK SPACE}", " ") for one in sentences.describe_run(found)] == [
        "Evidence inside the stamp: 10 % at epoch 1, 90 % at epoch 3.",
        "Of the picture, the stamp covers 25 %.",
        "It first held more than half of the evidence at epoch 3.",
        "The answer was the class asked about in 0 of 1 picture at epoch 1, in 1 at epoch 3.",
    ]
    assert "at most 40 %" in sentences.describe_run(make_run([0.1, 0.4], ["dog", "dog"]))[2].replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert sentences.describe_run(make_run([0.1], ["dog"])) == []
    said = sentences.describe_cost(found).replace("\N{NO-BREAK SPACE}", " ")
    assert said == "Watching took 30 ms an epoch, 2 % of its time."
    answer = sentences.describe_answer(found.epochs[0].answers[0])
    assert answer.replace("\N{NO-BREAK SPACE}", " ") == "dog 80 %, cat 20 %"


def test_a_film_and_a_sheet_show_every_epoch(run: watched.WatchedRun, tmp_path: Path, capsys: Any) -> None:
    assert main(["training", str(run.folder), "--out", str(tmp_path / "film")]) == 0
    assert "3 epochs watched" in capsys.readouterr().out
    from PIL import Image as Pillow

    assert Pillow.open(tmp_path / "film/film.gif").n_frames == 3
    sheet = Image.open(tmp_path / "film/sheet.png")
    assert sheet.width > sheet.height
    assert (tmp_path / "film/film.mp4").stat().st_size > 1000
    assert len((tmp_path / "film/epochs.csv").read_text("utf-8").splitlines()) == 1 + 3 * 2
    shutil.rmtree(run.folder / "maps")
    assert film.draw_sheet(run)[:4] == b"\x89PNG"


def test_a_yolo_is_watched_by_its_registry(tmp_path: Path) -> None:
    yolo = SimpleNamespace(added={}, add_callback=lambda event, call: yolo.added.update({event: call}))
    watcher, net = make_watcher(tmp_path / "watched"), make_net()
    watcher.attach_to_yolo(yolo)
    yolo.added["on_fit_epoch_end"](SimpleNamespace(ema=SimpleNamespace(ema=net), model=None, epoch=0))
    yolo.added["on_fit_epoch_end"](SimpleNamespace(ema=None, model=net, epoch=1))
    assert [one.number for one in watched.read(watcher.folder).epochs] == [0, 1]
    with pytest.raises(ModelProblem, match="give a YOLO"):
        watcher.attach_to_yolo(net)


@pytest.fixture
def lightning(monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """What of Lightning a callback needs, where the library itself is not installed."""
    stand_in: Any = ModuleType("lightning.pytorch")
    stand_in.Callback = type("Callback", (), {})
    monkeypatch.setitem(sys.modules, "lightning.pytorch", stand_in)
    return stand_in.Callback


def test_lightning_calls_after_each_epoch(tmp_path: Path, lightning: type) -> None:
    watcher = make_watcher(tmp_path / "watched")
    callback = watcher.make_lightning_callback()
    assert isinstance(callback, lightning)
    callback.on_train_epoch_end(SimpleNamespace(current_epoch=5), make_net())
    assert [one.number for one in watched.read(watcher.folder).epochs] == [5]


def test_without_lightning_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.delitem(sys.modules, "lightning.pytorch", raising=False)
    monkeypatch.delitem(sys.modules, "pytorch_lightning", raising=False)
    with pytest.raises(ModelProblem, match="pip install lightning"):
        make_watcher(tmp_path / "watched").make_lightning_callback()


def test_keras_is_watched_while_it_fits(tmp_path: Path) -> None:
    if find_spec("keras") is None:
        pytest.skip("needs keras")
    from sightglass.models.families.keras.network import keras

    library = keras()
    found = []
    pictures, classes = draw_data()
    shown = pictures.numpy().transpose(0, 2, 3, 1)
    for watcher in (None, make_watcher(tmp_path / "watched", preprocess={"size": 32, "range": 1})):
        library.utils.set_random_seed(0)
        layers = library.layers
        with library.device("cpu"):
            model = library.Sequential(
                [
                    layers.Input((32, 32, 3)),
                    layers.Conv2D(4, 3, activation="relu"),
                    layers.BatchNormalization(),
                    layers.Dropout(0.2),
                    layers.GlobalAveragePooling2D(),
                    layers.Dense(2, activation="softmax"),
                ]
            )
            model.compile("adam", "sparse_categorical_crossentropy")
            callbacks = [] if watcher is None else [watcher.make_keras_callback()]
            model.fit(shown, classes.numpy(), epochs=2, batch_size=8, verbose=0, callbacks=callbacks)
        found.append(model.get_weights())
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))
    run = watched.read(tmp_path / "watched")
    assert ([one.number for one in run.epochs], run.problems) == ([0, 1], ())
