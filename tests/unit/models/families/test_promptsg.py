"""PromptSG: the architecture against CLIP's own code, checkpoints by whatever names, the maps of its interaction."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.loaded_model import ModelCache
from sightglass.models.families.promptsg import loader
from sightglass.models.families.promptsg.loader import read_config, rename_tensors
from sightglass.models.families.promptsg.network import Config, PromptSG
from tests.unit.models.specs import own_spec
from training.demo import person_scenes

SMALL = Config(
    size=(96, 48), patch=8, stride=8, width=64, layers=2, heads=2, embed=64, text_width=64, text_layers=1, text_heads=2,
    context=9, mim_heads=4, mim_layers=1, classes=6,
)  # fmt: skip


def net(config=SMALL):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PromptSG(config).eval()


def spec(path, **weights):
    return own_spec("mine", "promptsg", "promptsg", path=str(path), **weights)


def saved(folder, config=SMALL, state=None):
    path = folder / "mine.safetensors"
    state = net(config).state_dict() if state is None else state
    save_file({key: value.clone() for key, value in state.items()}, path)
    (folder / "mine.json").write_text(json.dumps(asdict(config)))
    return path


@pytest.fixture
def explainer(tmp_path, models_file):
    saved(tmp_path)
    models_file.write_text('[model."mine"]\nloader = "promptsg"\nweights = { path = "mine.safetensors" }\n')
    return Explainer("mine", model_cache=ModelCache())


@pytest.fixture(scope="module")
def picture():
    return person_scenes.draw(person_scenes.sample(3, 0)).pixels


def test_the_encoders_are_clips():
    open_clip = pytest.importorskip("open_clip")
    torch.manual_seed(0)
    clip = open_clip.model.CLIP(
        64,
        {"image_size": 64, "layers": 2, "width": 128, "patch_size": 16, "head_width": 64},
        {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2},
        quick_gelu=True,
    ).eval()
    names = {"visual.": "image_encoder."}
    names |= {key: f"text_encoder.{key}" for key in ("transformer.", "positional_", "ln_final.", "text_projection")}
    rows = clip.token_embedding.weight
    tokens = {"token_prefix": rows[[49406, 320, 1125, 539, 320]], "token_suffix": rows[[2533, 269, 49407]]}
    names |= {key: f"text_encoder.{key}" for key in tokens}
    state = rename_tensors(clip.state_dict() | tokens, names)
    config = replace(SMALL, size=(64, 64), patch=16, stride=16, width=128, text_width=128, text_layers=2, context=77)
    mine = PromptSG(config).eval()
    held = mine.state_dict()
    fitting = {key: state[key] for key in held if key in state}
    assert all(key in fitting for key in held if key.startswith(("image_encoder.", "text_encoder.")))
    mine.load_state_dict(fitting, strict=False)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        tokens = mine.image_encoder(x)
        assert torch.allclose(tokens[:, 0], clip.encode_image(x), atol=1e-5)
        ids = open_clip.get_tokenizer("ViT-B-32")(["A photo of a tall person."])
        word = clip.token_embedding(ids)[0, 5]
        assert torch.allclose(mine.text_encoder(word.expand(2, -1))[:1], clip.encode_text(ids), atol=1e-5)


def test_the_configuration_is_stated_or_clips():
    config = Config(size=(256, 128), stride=12, classes=9)
    config_file = {"size": [256, 128], "stride": 12}
    assert read_config({"classifier.weight": torch.zeros(9, 512)}, config_file, "a.pth") == config
    assert config.grid == (21, 10) and read_config({}, {}, "a.pth") == Config(classes=0)
    with pytest.raises(ModelProblem, match="unknown key guidance"):
        read_config({}, {"guidance": "reweight"}, "a.pth")


def test_a_yml_beside_the_weights_states_the_sizes(tmp_path):
    (tmp_path / "mine.yml").write_text("MODEL:\n  STRIDE_SIZE: [12, 12]\nINPUT:\n  SIZE_TEST: [128, 64]\n")
    assert loader.read_settings(tmp_path / "mine.pth") == {"size": [128, 64], "stride": 12}
    (tmp_path / "mine.yml").write_text("size: [96, 48]\nnames: {}\n")
    assert loader.read_settings(tmp_path / "mine.pth") == {"size": [96, 48], "names": {}}
    (tmp_path / "mine.yml").write_text("!!python/object/apply:os.system [false]")
    assert loader.read_settings(tmp_path / "mine.pth") == {}


def test_a_checkpoint_with_other_names_loads(tmp_path):
    module = net()
    theirs = {"image_encoder.": "visual.", "mim.cross_attention.": "cross.attn.", "bottleneck.": "neck."}
    state = {}
    for key, value in module.state_dict().items():
        prefix = next((name for name in theirs if key.startswith(name)), "")
        state[f"module.{theirs.get(prefix, '')}{key.removeprefix(prefix)}"] = value
    torch.save({"epoch": 60, "state_dict": state}, tmp_path / "mine.pth")
    names = {"visual.": "image_encoder.", "cross.attn.": "mim.cross_attention.", "neck.": "bottleneck."}
    (tmp_path / "mine.json").write_text(json.dumps(asdict(SMALL) | {"names": names}))
    adapter = loader.load(spec(tmp_path / "mine.pth"))
    x = torch.randn(2, 3, 96, 48)
    assert torch.allclose(adapter.run(x).logits, module(x).logits, atol=1e-5)
    assert torch.allclose(adapter.embedding(adapter.run(x)), module(x).embedding, atol=1e-5)
    assert adapter.notes == ()


def test_what_is_wrong_is_said_in_one_sentence(tmp_path):
    whole = saved(tmp_path)
    (tmp_path / "mine.json").write_text(json.dumps(asdict(SMALL) | {"embed": 32, "mim_heads": 4}))
    with pytest.raises(WeightsProblem, match=r"image_encoder.proj is 64 x 64 in the file and 64 x 32 in the model"):
        loader.load(spec(whole))


def test_without_a_classifier_it_compares_pictures(tmp_path, picture):
    headless = {key: value for key, value in net().state_dict().items() if key != "classifier.weight"}
    adapter = loader.load(spec(saved(tmp_path, replace(SMALL, classes=0), headless)))
    tensor = adapter.prepare(picture, "trained").tensor
    assert adapter.labels == () and adapter.embedding(adapter.run(tensor)).shape == (1, 64)
    assert adapter.attention_map(picture).shape == (12, 6)


def test_the_attention_map_is_that_of_the_interaction(explainer, picture):
    adapter = explainer.loaded.adapter
    attention_map = adapter.attention_map(picture)
    assert attention_map.dtype == np.float32
    assert attention_map.sum() == pytest.approx(1, abs=1e-5)
    outputs = adapter.forward_with_attention(adapter.prepare(picture, "trained").tensor)
    assert outputs["patch_tokens"].shape == (1, 72, 64) and [s.shape for s in outputs["cls_states"]] == [(1, 64)]
    assert torch.allclose(adapter.module.mim.ln_post(outputs["cls_states"][-1]), outputs["feature"], atol=1e-6)
    np.testing.assert_array_equal(adapter.attention_map(Image.fromarray(picture)), attention_map)
    module, tensor = adapter.module, adapter.prepare(picture, "trained").tensor
    with torch.no_grad():
        tokens = module.image_encoder(tensor)
        text = module.mim.ln_text(module.text_encoder(module.inversion(tokens[:, 0])))
        attention = torch.nn.MultiheadAttention(64, 4, batch_first=True)
        attention.load_state_dict(module.mim.cross_attention.state_dict())
        patches = module.mim.ln_patches(tokens[:, 1:])
        read, weights = attention(text[:, None], patches, patches)
    assert np.allclose(attention_map.ravel(), weights[0, 0].numpy(), atol=1e-6)
    assert torch.allclose(module.mim.cross_attention(text, patches), read, atol=1e-5)
    assert np.allclose(explainer(picture, method="attention", top_k=1).heatmaps[0].raw[0], attention_map, atol=1e-6)


@pytest.mark.parametrize("given", ["a.png", None, 3, np.zeros((5, 5)), torch.zeros(3, 96, 48), torch.zeros(1, 3, 9, 9)])
def test_what_has_no_attention_map_is_refused_in_a_sentence(explainer, given):
    with pytest.raises(ModelProblem, match=r"attention(_map)? takes"):
        explainer.loaded.adapter.attention_map(given)


def test_a_pass_returns_named_tensors_and_the_attention(explainer, picture):
    adapter = explainer.loaded.adapter
    x = torch.cat([adapter.prepare(picture, "trained").tensor] * 2)
    outputs = adapter.forward_with_attention(x)
    assert [*outputs] == ["logits", "embedding", "feature", "image", "text", "attention", "patch_tokens", "cls_states"]
    assert outputs["attention"].shape == (2, 12, 6) and torch.equal(adapter.attention_map(x), outputs["attention"])
    np.testing.assert_allclose(outputs["attention"][1].cpu().numpy(), adapter.attention_map(picture), atol=1e-6)
    assert torch.allclose(outputs["logits"].cpu(), adapter.module(x.to(outputs["logits"].device)).logits.detach().cpu())
    with pytest.raises(ModelProblem, match=r'cross_attention is not a map: method "attention" shows its weights'):
        explainer(picture, layers="mim.cross_attention")
    advised = explainer(picture, layers="mim.cross_attention", method="attention", top_k=1)
    assert advised.heatmaps[0].layers == ("mim.cross_attention",)
    named = explainer(picture, top_k=1, layers="mim.cross_attn").heatmaps[0]
    assert np.array_equal(named.values, explainer(picture, top_k=1, layers="mim").heatmaps[0].values)


def test_rollout_and_chefer_go_through_the_interaction(explainer, picture):
    """The sentence reads patches, not the class token, which the encoder's own layers have too."""
    seen = {}
    adapter = explainer.loaded.adapter
    tensor = adapter.prepare(picture, "trained").tensor
    with torch.no_grad(), adapter.record_attention(lambda path, weights: seen.setdefault(path, weights)):
        adapter.run(tensor)
    *inside, crossing = (weights[0].mean(0) for weights in seen.values())
    mixed = torch.eye(len(inside[0]))
    for mean in inside:
        mixed = (mean + torch.eye(len(mean))) / 2 @ mixed
    expected = (crossing @ mixed[1:])[0, 1:].reshape(12, 6)
    assert np.allclose(explainer(picture, method="rollout", top_k=1).heatmaps[0].raw[0], expected.numpy(), atol=1e-6)
    weighed = explainer(picture, method="chefer", top_k=1).heatmaps[0]
    assert weighed.raw[0].shape == (12, 6) and weighed.state == "ok"
