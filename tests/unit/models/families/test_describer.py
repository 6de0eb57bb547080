"""Models that answer in words: eight families, cut at their picture's tokens."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image as Pillow
from torch import Tensor

from sightglass import Explainer
from sightglass.common.errors import ModelProblem
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.evidence.trial import examine
from sightglass.explain.tasks.describe import NO_MAP, NO_PLACES, SEEN
from sightglass.history.encoding import encode
from sightglass.models.demo.pictures import pictures
from sightglass.models.families.demo import words
from sightglass.models.families.transformers.describer import Reader, Text
from sightglass.report import views
from sightglass.report.results import Explained
from training.demo import captioned_scenes

IMAGE, ANSWER = 60, (8, 9, 10)
NET = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {"vocab_size": 64, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **NET}
VISION = {"image_size": 32, "patch_size": 8, **NET}
QWEN = {"patch_size": 8, "spatial_merge_size": 2, "hidden_size": 16, "num_heads": 2, "depth": 2}
WIDE = {"intermediate_size": 32, "out_hidden_size": 16}
LLAMA, GEMMA = {"model_type": "llama", **TEXT}, {"model_type": "gemma", "head_dim": 8, **TEXT}
MARKS = {"video_token_id": 61, "vision_start_token_id": 62, "vision_end_token_id": 63}
ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
TURNED = MARKS | {"text_config": TEXT | {"head_dim": 8, "rope_parameters": ROPE}}


def _pixels(images: list[Any], side: int = 32) -> Tensor:
    arrays = [np.asarray(Pillow.fromarray(image).resize((side, side))) for image in images]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1


def _tiles(images: list[Any]) -> Tensor:
    pixels = _pixels(images)
    return torch.stack([pixels, pixels.flip(-1), pixels / 2], 1).contiguous()


def _patches(images: list[Any]) -> Tensor:
    cut = _pixels(images, 64)[:, None].expand(-1, 2, -1, -1, -1).reshape(len(images), 2, 3, 4, 2, 8, 4, 2, 8)
    return cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(len(images) * 64, -1)


CLIP, SIGLIP = ({"model_type": f"{kind}_vision_model", **VISION} for kind in ("clip", "siglip"))
TILED = {"model_type": "smolvlm_vision", **VISION}
SQUARE = VISION | {"image_size": [32, 32], "patch_size": [8, 8]}
DEEP = {"deepstack_visual_indexes": [0, 1], "num_position_embeddings": 16}
FAMILIES: dict[str, dict[str, Any]] = {
    "llava": {"vision_config": CLIP, "text_config": LLAMA, "vision_feature_layer": -1},
    "paligemma": {"vision_config": SIGLIP | {"projection_dim": 16}, "text_config": GEMMA, "projection_dim": 16},
    "qwen2_vl": {"vision_config": QWEN | {"embed_dim": 16, "mlp_ratio": 2}, **TURNED},
    "qwen2_5_vl": {"vision_config": QWEN | WIDE | {"window_size": 32, "fullatt_block_indexes": [1]}, **TURNED},
    "qwen3_vl": {"vision_config": QWEN | WIDE | DEEP, **TURNED},
    "smolvlm": {"vision_config": TILED, "text_config": LLAMA, "scale_factor": 2},
    "internvl": {"vision_config": SQUARE, "text_config": LLAMA | {"model_type": "qwen2"}, "downsample_ratio": 0.5},
    "gemma3": {
        "vision_config": SIGLIP | {"vision_use_head": False},
        "text_config": {"head_dim": 8, **TEXT},
        "mm_tokens_per_image": 4,
    },
}
READ: dict[str, tuple[int, Callable[[list[Any]], Tensor]]] = {
    **dict.fromkeys(("llava", "paligemma"), (16, _pixels)),
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen3_vl"), (16, _patches)),
    **dict.fromkeys(("internvl", "gemma3"), (4, _pixels)),
    "smolvlm": (12, _tiles),
}
"""Tokens of a picture in the prompt, and what the encoder is given."""


def _reader(family: str) -> Reader:
    """A seeded network with a processor that says which of its inputs are the picture's."""
    tokens, prepare = READ[family]

    def process(images: list[Any], text: list[str], return_tensors: str) -> dict[str, Tensor]:
        ids = torch.tensor([[62, *([IMAGE] * tokens), 63, 5, 6, 7]] * len(images))
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": prepare(images)}
        if family.startswith("qwen"):
            sizes = torch.tensor([[1, 8, 8]] * len(images))
            inputs |= {"image_grid_thw": sizes, "mm_token_type_ids": (ids == IMAGE).long()}
        if family in ("paligemma", "gemma3"):
            inputs["token_type_ids"] = (ids == IMAGE).long() * (family == "gemma3")
        return inputs

    torch.manual_seed(1)
    config = hf.AutoConfig.for_model(family, image_token_id=IMAGE, **FAMILIES[family])
    net = hf.AutoModelForImageTextToText.from_config(config).eval().requires_grad_(False)
    for parameter in net.parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, 0.3)
    reader = Reader(net, process)
    reader.text = Text("", "", ANSWER, ((0, 1), (1, 2), (2, 3)), ("a", "b", "c"))
    return reader


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_the_pictures_only_way(family: str):
    reader = _reader(family)
    first, second = (torch.randint(0, 256, (1, 3, 40, 40)).float() for _ in range(2))
    with torch.no_grad():
        plain = [reader.score(reader.inputs(each, ""), {}, ANSWER) for each in (first, second)]
        assert torch.equal(reader(first), plain[0])
        torch.testing.assert_close(reader(torch.cat((first, second))), torch.cat(plain), atol=1e-5, rtol=1e-4)
        recorded: list[Tensor] = []
        with reader.tokens.register_forward_hook(lambda *call: recorded.append(call[2])):
            reader(second)
        # All that the first picture was is replaced.
        with reader.tokens.register_forward_hook(lambda *_: recorded[0]):
            torch.testing.assert_close(reader(first), plain[1], atol=1e-6, rtol=1e-5)
    leaf = recorded[0].clone().requires_grad_()
    with reader.tokens.register_forward_hook(lambda *_: leaf):
        (slope,) = torch.autograd.grad(reader(second)[0, 1, 9], leaf)
    assert slope.reshape(-1, slope.shape[-1]).abs().sum(0).bool().any()
    way, values = torch.randn_like(leaf), []
    for step in (1e-2, -1e-2):
        with torch.no_grad(), reader.tokens.register_forward_hook(lambda *_, step=step: leaf + step * way):
            values.append(float(reader(second)[0, 1, 9]))
    assert (values[0] - values[1]) / 2e-2 == pytest.approx(float((slope * way).sum()), rel=0.01, abs=1e-3)


def test_answer_is_split_into_words():
    text = Text.read(words.tokenizer(), "", "there is a nice red star , and a ball .")
    assert text.words == ("there", "is", "a", "nice", "red", "star", ",", "and", "a (2)", "ball", ".")
    assert text.spans == tuple((i, i + 1) for i in range(11))
    wrong = {"a zebra .": "does not know “zebra”", "...": "give a sentence", "star " * 65: "65 tokens: give 64 at most"}
    for answer, says in wrong.items():
        with pytest.raises(ModelProblem, match=says):
            Text.read(words.tokenizer(), "", answer)


def _save(folder: Path, config: Any, images: Any, processor: Any) -> tuple[Any, Any]:
    """Write a folder with a seeded network and its processor; return both."""
    torch.manual_seed(0)
    net = hf.AutoModelForImageTextToText.from_config(config).eval()
    side = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    more = {"vision_feature_select_strategy": "default", "image_token": words.IMAGE, "num_additional_image_tokens": 1}
    prepare = processor(images(**side), words.tokenizer(), patch_size=8, **more)
    net.save_pretrained(folder)
    prepare.save_pretrained(folder)
    return net, prepare


VIEWS = {"vision_config": {"model_type": "clip_vision_model", **VISION, "image_size": 64}, "vision_feature_layer": -1}
SPEAKS = LLAMA | {"vocab_size": len(words.VOCABULARY), "bos_token_id": None, "eos_token_id": 1}


def test_folder_of_transformers(tmp_path):
    config = hf.LlavaConfig(**VIEWS, text_config=SPEAKS, image_token_id=2)
    net, processor = _save(tmp_path / "llava", config, hf.CLIPImageProcessor, hf.LlavaProcessor)
    explainer, picture = Explainer(tmp_path / "llava"), pictures("red star")[0]
    explanation = explainer(picture, prompt="what is there ?", answer="a red star", targets=["red star"])
    assert explainer.model.task == "describe"
    assert [layer.shape for layer in explainer.layers] == [(16, 8, 8)]
    asked = processor(images=picture[::9, ::9], text="<image>what is there ? a red star", return_tensors="pt")
    with torch.no_grad():
        logits = net(**asked).logits[0, -4:-1]
    expected = logits.log_softmax(1)[range(3), [words.VOCABULARY.index(word) for word in ("a", "red", "star")]].exp()
    scores = explanation.evidence.loaded.adapter.class_scores(explanation.evidence.outputs)[0]
    torch.testing.assert_close(scores.detach(), expected, rtol=0.05, atol=0)
    assert explanation.recipe.answer == "a red star"


def test_tiles_without_a_place_have_bars_alone(tmp_path):
    tiles = [[64, 128], [128, 64], [128, 128]]
    config = hf.LlavaNextConfig(**VIEWS, text_config=SPEAKS, image_token_id=2, image_grid_pinpoints=tiles)
    images = partial(hf.LlavaNextImageProcessor, image_grid_pinpoints=tiles)
    _save(tmp_path / "next", config, images, hf.LlavaNextProcessor)
    result = Explainer(tmp_path / "next")(pictures("red star")[0], answer="a red star", targets=["star"])
    assert not result.heatmaps and all(word.score > 0 for word in result.predictions)
    assert result.notes == (f"next {NO_PLACES}.",)


CELLS = np.arange(144).reshape(12, 12)
SMALL, WINDOWS = CELLS[::2, ::2].ravel(), CELLS.reshape(2, 6, 2, 6).swapaxes(1, 2).ravel()
ORDERS = (CELLS[[*range(5), 6, 5, *range(7, 12)]], CELLS.T, CELLS[:, ::-1], WINDOWS, np.r_[SMALL, WINDOWS[:108]])


@pytest.mark.parametrize("order", ORDERS, ids=("two rows swapped", "turned", "mirrored", "windows", "thumbnail"))
def test_trained_tokens_in_another_order_have_no_place(order: np.ndarray) -> None:
    loaded = Explainer("demo-vlm").loaded
    adapter, tower = loaded.adapter.probe(), loaded.adapter.module.net.model.vision_tower
    with tower.norm.register_forward_hook(lambda *call: call[2][:, order.ravel().copy()]):
        survey, _ = examine(adapter, loaded.move_input)
    assert (survey.short, survey.unplaced) == ((), ("tokens",))


def test_a_question_of_the_demo_model_needs_no_mark():
    assert words.as_question(f"{words.IMAGE}What colour is the star") == f"{words.IMAGE}What colour is the star ?"
    for text in ("Describe the picture.", "what is it?", ""):
        assert words.as_question(f"{words.IMAGE}{text}") == f"{words.IMAGE}{text}"


def test_words_of_demo_model():
    scene = captioned_scenes.draw(captioned_scenes.example(), 384)
    said = "there is a nice blue star , a fine red ball , a lovely red star and a pretty yellow square ."
    result = Explainer("demo-vlm")(scene.pixels, answer=said)
    seen = {word.label.partition(" (")[0] for word in result.predictions if word.score >= SEEN}
    assert {"blue", "star", "red", "ball", "yellow", "square"} <= seen
    assert seen.isdisjoint(("there", "is", "a", *words.ADJECTIVES))
    for phrase in ("blue star", "red ball", "red (2) star (2)", "yellow square"):
        (heatmap,) = result.with_targets(phrase).heatmaps
        near = cv2.dilate(scene.masks[re.sub(r" \(2\)", "", phrase)].view(np.uint8), np.ones((65, 65), np.uint8))
        assert near[np.unravel_index(heatmap.values.argmax(), near.shape)], phrase
    false = Explainer("demo-vlm")(scene.pixels, answer=said.replace("yellow", "green"), maps=False)
    assert [word.label for word in false.predictions if word.speaks_against] == ["green"]
    nice = result.with_targets("nice")
    assert not nice.heatmaps and "Nice was said, not seen" in nice.notes[-1]


def test_words_are_compared_saved_and_listed():
    picture, explainer = captioned_scenes.draw(captioned_scenes.example(), 384).pixels, Explainer("demo-vlm")
    phrase = explainer(picture, answer="there is a fine red star and a green ball .", targets=["fine red star"])
    assert views.map_view(phrase).title == "Demo-vlm reads “there is a fine red star and…”"
    most = max(word.score for word in phrase.predictions[3:6])
    record, _ = encode(phrase, 0, {})
    assert (record.score, record.maps[0].score, record.classes) == (most, most, ("fine red star",))
    listed = Explained.build(phrase).to_dict()["predictions"]
    against = [word.label for word in phrase.predictions if word.speaks_against]
    assert against and [word["label"] for word in listed if word.get("speaks_against")] == against
    # The full stop, as more is in the picture, is no word.
    short = explainer(picture, answer="there is a fine red star .", maps=False)
    assert [word.label for word in short.predictions if word.speaks_against] == ["."]
    assert short.task.wording.list_answers(short) == ["Seen: red and star."] and "seen" not in " ".join(short.notes)
    assert Comparison((phrase, short), ("a", "b")).verdict == "a saw 3 of 10 words and b saw 2 of 6 words."
    said = [finding.text for finding in explainer(picture, answer="there is").diagnosis]
    assert said[0] == f"No word was seen: {NO_MAP}." and len(set(said)) == len(said)
    other = Explainer("demo-cls-s")(picture)
    words = Comparison((explainer(picture), other), ("a", "b")).verdict.partition("”")[0].removeprefix("a says “")
    assert len(words) <= 60 and words.endswith(" …")
    assert not any("speaks_against" in row for row in Explained.build(other).to_dict()["predictions"])
