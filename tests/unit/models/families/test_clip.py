"""Models that are asked in words: real architectures with seeded random weights, beside their own libraries."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.layers import as_map
from sightglass.explain.evidence.loaded_model import ModelCache
from sightglass.models import catalog
from sightglass.models.families.clip import loader
from sightglass.models.load import inspect_model
from sightglass.models.spec import WeightsTable

transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")

pytestmark = pytest.mark.slow
PIXELS = (np.random.default_rng(0).random((80, 120, 3)) * 255).astype(np.uint8)
PROMPTS = ("a dog", "a red star", "something else")
TEXT = {"intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 49408}
VISION = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
SEEN = {**VISION, "image_size": 64, "patch_size": 16}


def byte_tokenizer() -> Any:
    """A token for each byte, and CLIP's own number for the end."""
    letters = {letter: i for i, letter in enumerate(sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(letters | {"<end>": 49407}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing("$A <end>", None, [("<end>", 49407)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A CLIP and a SigLIP of Transformers."""
    root = tmp_path_factory.mktemp("clips")
    text = {**TEXT, "hidden_size": 32, "max_position_embeddings": 77}
    torch.manual_seed(0)
    clip = transformers.CLIPConfig(text_config=text, vision_config=SEEN, projection_dim=24)
    transformers.CLIPModel(clip).save_pretrained(root / "clip")
    text = {**TEXT, "hidden_size": 48, "max_position_embeddings": 64}
    siglip = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=SEEN))
    # As it comes, all texts are one text and all pictures one picture.
    with torch.no_grad():
        for parameter in siglip.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
        siglip.logit_scale.fill_(1.0)
    siglip.save_pretrained(root / "siglip")
    for name in ("clip", "siglip"):
        byte_tokenizer().save_pretrained(root / name)
    return {name: root / name for name in ("clip", "siglip")}


def tokenize(folder: Path, length: int) -> Any:
    """The ids of the prompts, (3, length)."""
    encode = transformers.AutoTokenizer.from_pretrained(folder)
    return encode(list(PROMPTS), padding="max_length", max_length=length, return_tensors="pt").input_ids


def explainer(folder: Path) -> Explainer:
    return Explainer(folder, device="cpu", model_cache=ModelCache(10**9))


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_answers_are_those_of_transformers(name: str, folders: dict[str, Path]) -> None:
    result = explainer(folders[name])(PIXELS, vocabulary=PROMPTS, maps=False)
    outputs = result.evidence.outputs
    net = transformers.AutoModel.from_pretrained(folders[name]).eval()
    tokens = tokenize(folders[name], net.config.text_config.max_position_embeddings)
    with torch.no_grad():
        theirs = net(input_ids=tokens, pixel_values=result.evidence.tensor)
    torch.testing.assert_close(outputs.logits.detach(), theirs.logits_per_image, atol=1e-4, rtol=1e-4)
    scores = theirs.logits_per_image[0].softmax(0) if name == "clip" else theirs.logits_per_image[0].sigmoid()
    for prediction in result.predictions:
        assert prediction.score == pytest.approx(scores[prediction.index].item(), abs=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_gradients_equal_autograd_at_patches(name: str, folders: dict[str, Path]) -> None:
    explanation = explainer(folders[name])(PIXELS, vocabulary=PROMPTS)
    assert explanation.options.part == "contrast"
    assert "ok" in [heatmap.state for heatmap in explanation.heatmaps]
    evidence = explanation.evidence
    target = explanation.heatmaps[0].target
    ((ours,),) = evidence.gradients([target])
    logits = evidence.outputs.logits[0]
    scalar = logits[target.index] - logits[[index for index in range(3) if index != target.index]].logsumexp(0)
    (theirs,) = torch.autograd.grad(scalar, evidence.recorded, retain_graph=True)
    torch.testing.assert_close(ours.values, as_map(theirs, evidence.layers[0])[0])
    assert ours.values.abs().sum() > 0


def test_a_lone_prompt_has_an_opponent_and_says_so(folders: dict[str, Path]) -> None:
    result = explainer(folders["clip"])(PIXELS, vocabulary="a dog")
    (only,) = result.predictions
    assert 0 < only.score < 1
    adapter = result.evidence.loaded.adapter
    neutral = F.normalize(adapter.towers.vectors(loader.NEUTRAL).mean(0), dim=0)
    cosine = F.normalize(result.evidence.outputs.features, dim=1) @ neutral
    torch.testing.assert_close(result.evidence.outputs.rival[0], adapter.towers.scale * cosine, atol=1e-5, rtol=1e-5)


def test_a_list_of_classes_makes_a_classifier(folders, models_file):
    words = 'labels = ["cat", "dog", "mouse"], template = ["a photo of a {}", "a drawing of a {}"]'
    table = f'[model.mine]\nloader = "clip"\nweights = {{ path = {json.dumps(str(folders["clip"]))}, {words} }}'
    models_file.write_text(table)
    explainer = Explainer("mine", device="cpu", model_cache=ModelCache(10**9))
    assert explainer.labels == ("cat", "dog", "mouse")
    predictions = explainer(PIXELS, maps=False).predictions
    assert sum(prediction.score for prediction in predictions) == pytest.approx(1, abs=1e-5)
    towers = explainer.loaded.adapter.towers
    mean = F.normalize(towers.vectors(["a photo of a dog", "a drawing of a dog"]).mean(0), dim=0)
    torch.testing.assert_close(explainer.loaded.adapter.rows[1], mean)


def test_words_per_session(folders: dict[str, Path]) -> None:
    result = explainer(folders["clip"])
    for words in ("cat", "dog"), ("horse", "cow", "cat"):
        assert {p.label for p in result(PIXELS, vocabulary=words, maps=False).predictions} == set(words)
    with pytest.raises(ModelProblem, match="say in words what to look for"):
        result(PIXELS)
    adapter = result.loaded.adapter
    assert adapter.embedding(adapter.run(adapter.prepare(PIXELS, "trained").tensor)).shape == (1, 24)


def test_what_the_preprocessing_is(folders: dict[str, Path]) -> None:
    adapter = explainer(folders["clip"]).loaded.adapter
    assert adapter.preprocessing.mean == loader.MEAN
    assert adapter.prepare(PIXELS, "trained").geometry.seen == (20, 0, 100, 80)
    # SigLIP squeezes, it does not crop.
    assert explainer(folders["siglip"]).loaded.adapter.prepare(PIXELS, "trained").geometry.seen == (0, 0, 120, 80)
    settings = {"image_mean": [0.1, 0.2, 0.3], "size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}}
    file = folders["clip"] / "preprocessor_config.json"
    file.write_text(json.dumps(settings))
    try:
        adapter = explainer(folders["clip"]).loaded.adapter
    finally:
        file.unlink()
    theirs = transformers.CLIPImageProcessor(**settings)(PIXELS, return_tensors="pt")
    torch.testing.assert_close(adapter.prepare(PIXELS, "trained").tensor, theirs["pixel_values"], rtol=0, atol=1e-6)


def test_folder_without_a_tensor_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["clip"], tmp_path / "clip")
    held = load_file(tmp_path / "clip" / "model.safetensors")
    del held["visual_projection.weight"]
    save_file(held, tmp_path / "clip" / "model.safetensors", metadata={"format": "pt"})
    spec = dataclasses.replace(catalog._blank("x"), weights=WeightsTable(path=str(tmp_path / "clip")))
    with pytest.raises(WeightsProblem, match=r"lacks visual_projection\.weight"):
        loader.load(spec)


def test_a_look_tells_what_a_folder_is(folders: dict[str, Path]) -> None:
    for name, arch in (("clip", "clip"), ("siglip", "siglip")):
        draft = inspect_model(folders[name])
        assert (draft.loader, draft.arch, draft.table["weights"]["path"]) == ("clip", arch, str(folders[name]))
        assert draft.unknown == () and draft.unnamed


def _legrad_by_hand(net: Any, picture: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Return LeGrad's map (4, 4) of one phrase (D,): each layer's own class token, read by the projection."""
    tower, rows = net.vision_model, []
    tokens = tower.pre_layrnorm(tower.embeddings(picture)).detach()
    for layer in tower.encoder.layers:
        own, normed = layer.self_attn, layer.layer_norm1(tokens)
        query, key, value = (
            part(normed).view(1, -1, 4, 12).transpose(1, 2) for part in (own.q_proj, own.k_proj, own.v_proj)
        )
        weights = (query @ key.transpose(-2, -1) * 12**-0.5).softmax(-1).detach().requires_grad_()
        tokens = tokens + own.out_proj((weights @ value).transpose(1, 2).flatten(2))
        tokens = tokens + layer.mlp(layer.layer_norm2(tokens))
        seen = F.normalize(net.visual_projection(tower.post_layernorm(tokens[:, 0])), dim=-1)[0]
        (gradient,) = torch.autograd.grad(net.logit_scale.exp().detach() * seen @ words, weights)
        rows.append(gradient[0].clamp(min=0).mean((0, 1))[1:])
        tokens = tokens.detach()
    return torch.stack(rows).mean(0).view(4, 4)


def test_legrad_reads_each_layer_by_the_phrase(folders: dict[str, Path]) -> None:
    result = explainer(folders["clip"])(PIXELS, vocabulary=PROMPTS, method="legrad", top_k=2, part="class")
    net = transformers.AutoModel.from_pretrained(folders["clip"]).eval().requires_grad_(False)
    tokens = tokenize(folders["clip"], 77)
    with torch.no_grad():
        words = net(input_ids=tokens, pixel_values=result.evidence.tensor).text_embeds
    for heatmap in result.heatmaps:
        expected = _legrad_by_hand(net, result.evidence.tensor, words[heatmap.target.index]).cpu().numpy()
        np.testing.assert_allclose(heatmap.raw[0], expected, rtol=1e-3, atol=1e-5 * expected.max())
    assert not np.allclose(result.heatmaps[0].raw[0], result.heatmaps[1].raw[0])
