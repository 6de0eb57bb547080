"""LeGrad beside a few lines of its formula, on a network whose blocks are called one by one."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from sightglass.explain import Explainer
from sightglass.explain.methods.attention import find_blocks
from sightglass.models.demo import scenes


def by_hand(net: torch.nn.Module, picture: torch.Tensor, index: int) -> torch.Tensor:
    """Return LeGrad's map (8, 8) of a timm ViT without a class token: each layer's gradient, by its equations."""
    tokens = net._pos_embed(net.patch_embed(picture))
    rows = []
    for block in net.blocks:
        given = block.norm1(tokens)
        count, heads = given.shape[1], block.attn.num_heads
        query, key, value = block.attn.qkv(given).reshape(1, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-2, -1) * block.attn.scale).softmax(-1).detach().requires_grad_()
        tokens = tokens.detach() + block.attn.proj((weights @ value).transpose(1, 2).flatten(2))
        tokens = tokens + block.mlp(block.norm2(tokens))
        logit = net.head(net.fc_norm(net.norm(tokens).mean(1)))[0, index]
        (gradient,) = torch.autograd.grad(logit, weights)
        rows.append(F.relu(gradient)[0].mean((0, 1)))
        tokens = tokens.detach()
    return torch.stack(rows).mean(0).reshape(8, 8)


def test_the_map_is_the_papers_mean_over_layers_heads_and_queries() -> None:
    pixels = scenes.draw(scenes.sample(600_002, task="classify", held_out=True)).pixels
    made = Explainer("demo-vit")(pixels, top_k=2, method="legrad")
    net, given = made.evidence.resident.adapter.module, made.evidence.tensor
    for heatmap in made.heatmaps:
        wanted = by_hand(net, given, heatmap.target.index).numpy()
        np.testing.assert_allclose(heatmap.raw[0], wanted, rtol=1e-3, atol=1e-5 * wanted.max())
        assert heatmap.layers == ("every attention",) and heatmap.state == "ok"
    # Another class has another map, and the model still answers as before.
    assert not np.allclose(made.heatmaps[0].raw[0], made.heatmaps[1].raw[0])
    again = Explainer("demo-vit")(pixels, top_k=1)
    assert again.predictions[0].score == made.predictions[0].score


def test_a_block_is_found_around_its_attention() -> None:
    assert find_blocks(["vit.encoder.layer.0.attention.self", "vit.encoder.layer.1.attention.self"]) == [
        "vit.encoder.layer.0",
        "vit.encoder.layer.1",
    ]
    assert find_blocks(["block.attn"]) == ["block"]
