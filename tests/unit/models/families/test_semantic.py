"""Segmentation networks of Transformers and Ultralytics, with seeded random weights: none are to be had."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image as Pillow

from sightglass.explain import Explainer
from training.demo.scenes import draw, sample

pytestmark = pytest.mark.slow
NAMES = ["ground", "water", "tree", "house"]
SHAPE: dict[str, Any] = {"id2label": dict(enumerate(NAMES)), "label2id": {name: i for i, name in enumerate(NAMES)}}
WIDTHS = [8, 16, 24, 32]
PICTURE = np.random.default_rng(3).integers(0, 255, (90, 150, 3), np.uint8)


def mask2former() -> Any:
    stages = [f"stage{number}" for number in range(1, 5)]
    body = transformers.SwinConfig(
        embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=4, image_size=96, out_features=stages
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=body,
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        dim_feedforward=32,
        encoder_feedforward_dim=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=6,
        **SHAPE,
    )
    return transformers.Mask2FormerForUniversalSegmentation(config)


def longest() -> Any:
    return transformers.Mask2FormerImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 200}, pad_size={"height": 128, "width": 160}
    )


def test_query_classes_equal_post_processing(tmp_path, monkeypatch):
    torch.manual_seed(2)
    net = mask2former().eval()
    net.save_pretrained(tmp_path)
    longest().save_pretrained(tmp_path)
    result = Explainer(tmp_path)(PICTURE, method="layercam", top_k=1)
    inputs = longest()(Pillow.fromarray(PICTURE), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        outputs = net(pixel_values=inputs)
    assert torch.equal(result.evidence.tensor, inputs)
    assert result.evidence.loaded.adapter.labels == tuple(NAMES)
    assert result.segmentation is not None and result.segmentation.shape == PICTURE.shape[:2]
    # Bars are no part of it: 90 x 150 with a short side of 64 is 64 x 106, each up to the next multiple of 32.
    assert result.evidence.geometry.content == (0, 0, 128, 64) and result.evidence.geometry.seen == (0, 0, 150, 90)
    classes = outputs.class_queries_logits.softmax(-1)[..., :-1]
    scores = torch.einsum("bqc,bqhw->bchw", classes, outputs.masks_queries_logits.sigmoid())
    assert torch.allclose(result.evidence.outputs.logits.exp(), scores, atol=1e-4)
    # The library resizes masks to 384 pixels: of that size they stay as they are.
    generator = torch.Generator().manual_seed(4)
    fake = SimpleNamespace(
        class_queries_logits=torch.randn(1, 5, 5, generator=generator),
        masks_queries_logits=3 * torch.randn(1, 5, 384, 384, generator=generator),
    )
    adapter = result.evidence.loaded.adapter
    monkeypatch.setattr(adapter, "module", lambda **_: fake)
    labels = adapter.run(torch.zeros(1, 3, 8, 8)).classes
    (expected,) = longest().post_process_semantic_segmentation(fake)
    assert len(np.unique(labels)) == len(NAMES) and (labels == expected.numpy()).all()


def test_ultralytics_semantic_classes_are_those_of_predict() -> None:
    from sightglass.models.families.ultralytics.loader import import_quietly

    import_quietly()
    from ultralytics import YOLO

    torch.manual_seed(0)
    model = YOLO("yolo26n-sem.yaml", verbose=False)
    head: Any = model.model.model[-1]
    with torch.no_grad():
        # So that more than one class is found: each is as strong as the others, in the mean.
        head.classifier[-1].weight.normal_(0, 1)
        inputs = torch.rand(1, 3, 384, 640, generator=torch.Generator().manual_seed(1))
        head.classifier[-1].bias -= model.model.eval()(inputs).mean((0, 2, 3))
    explainer = Explainer(model)
    picture = draw(sample(1, task="segment", held_out=True)).pixels
    result = explainer(picture, per="region", top_k=1)
    assert result.model.task == "segment" and len(explainer.labels) == 19
    assert result.heatmaps[0].layers == ("model.10",)
    (prediction,) = model.predict(picture[..., ::-1], verbose=False)
    expected = prediction.semantic_mask.data.squeeze().cpu().numpy()
    assert result.segmentation is not None and len(np.unique(expected)) > 1
    assert (result.segmentation == expected).mean() > 0.95
