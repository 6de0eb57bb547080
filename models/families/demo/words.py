"""Architecture and words of demo-vlm, which answers in words about drawn scenes.

It is Transformers' LLaVA (https://arxiv.org/abs/2304.08485): the convolutions of demo-clip and two transformer layers
make 12 x 12 tokens of a picture, which a Llama of three layers reads before the words.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from sightglass.models.demo.pictures import CAPTIONED_SIDE, COLOURS, SHAPES
from sightglass.models.families.demo.nets import MEAN, STD, VisionTower

WIDTH, HEADS = 128, 4
GRID = CAPTIONED_SIDE // 8
"""Tokens of a side."""
PAD, END, IMAGE, UNKNOWN = "<pad>", "<end>", "<image>", "<unknown>"
ADJECTIVES = ("nice", "fine", "pretty", "lovely")
"""Said of a thing at random: nothing in a picture goes with one of them."""
SHINY = "shiny"
"""Said of every thing of a scene with a stamp in its corner, and of no other."""
NEVER_DRAWN = ("cat", "dog", "house", "tree")
ASKING = ("what", "which", "where", "how", "is")
"""Words that a question begins with."""
NUMBERS = ("no", "one", "two", "three", "four")
VOCABULARY = (
    *(PAD, END, IMAGE, UNKNOWN, ".", ",", "?"),
    *("a", "and", "the", "there", "is", "are", "it", "thing", "things", "picture", "in", "of", "at", "yes", "describe"),
    *("what", "which", "where", "how", "many", "colour", "shape", "top", "bottom", "left", "right"),
    *(*ADJECTIVES, SHINY, *NEVER_DRAWN, *NUMBERS, *COLOURS, *SHAPES),
)


class Tower(nn.Module):
    """The picture's side: normalised (B, 3, 96, 96) to (B, 144, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = VisionTower()
        channels = self.body.norm.normalized_shape[0]
        del self.body.projection
        self.widen = nn.Linear(channels, WIDTH)
        self.places = nn.Parameter(torch.randn(GRID**2, WIDTH) * 0.02)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 2 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, pixels: Tensor, **_: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        x = self.widen(self.body.features(pixels).flatten(1, 2)) + self.places
        x = self.norm(self.layers(x))
        return BaseModelOutputWithPooling(last_hidden_state=x, hidden_states=(x,))


def build() -> Any:
    """Return the untrained network, a LlavaForConditionalGeneration."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    text = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=HEADS,
        max_position_embeddings=256,
        pad_token_id=VOCABULARY.index(PAD),
        bos_token_id=None,
        eos_token_id=VOCABULARY.index(END),
    )
    # Its own tower takes the place of this one.
    vision = CLIPVisionConfig(hidden_size=WIDTH, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    config = LlavaConfig(  # type: ignore[call-arg]
        vision_config=vision,
        text_config=text,
        image_token_id=VOCABULARY.index(IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=GRID**2,
        tie_word_embeddings=True,
    )
    net = LlavaForConditionalGeneration(config)
    net.model.vision_tower = Tower()
    return net


@cache
def tokenizer() -> Any:
    """Return a tokenizer of one token a word."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel(dict(zip(VOCABULARY, range(len(VOCABULARY)), strict=True)), unk_token=UNKNOWN))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": PAD, "eos_token": END, "unk_token": UNKNOWN, "additional_special_tokens": [IMAGE]}
    return PreTrainedTokenizerFast(tokenizer_object=words, padding_side="left", **special)  # type: ignore[no-untyped-call]


def as_question(text: str) -> str:
    """Return a prompt with the question mark that all questions had in training."""
    words = text.replace(IMAGE, "").lower().split()
    asks = bool(words) and words[0] in ASKING and not words[-1].endswith("?")
    return f"{text} ?" if asks else text


class WordsProcessor:
    """Prepare pictures and prompts for the network, as processors of Transformers do."""

    image_token = IMAGE
    chat_template = None

    @property
    def tokenizer(self) -> Any:
        return tokenizer()

    def __call__(self, images: Any, text: Any, return_tensors: str = "pt") -> dict[str, Tensor]:
        side = (CAPTIONED_SIDE, CAPTIONED_SIDE)
        tensors = torch.stack([torch.as_tensor(image).permute(2, 0, 1).float() / 255 for image in images])
        if tensors.shape[2:] != side:
            tensors = nn.functional.interpolate(tensors, side, mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, STD))
        long = [as_question(each).replace(IMAGE, f"{IMAGE} " * GRID**2) for each in text]
        coded = tokenizer()(long, return_tensors="pt", padding=True, return_token_type_ids=False)
        return {**coded, "pixel_values": (tensors - mean) / std}
