"""The recipe in a file: it comes back from every kind, and nothing that a file can hold does more than be None."""

import json
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from sightglass.explain.picture.image import Image, to_jpeg, to_png
from sightglass.explain.recipe import Recipe
from sightglass.report import embedded_recipe
from tests.corpus import chunk

HOSTILE = "</metadata><script>alert(1)</script> $(rm -rf) 'ü \N{SNOWMAN}.png"


def recipe(**changed) -> Recipe:
    known = {
        "picture_sha256": "a" * 64,
        "picture_name": HOSTILE,
        "model": "efficientnet-lite0",
        "weights_sha256": "b" * 64,
        "method": "gradcam",
        "layers": ("blocks.4", "bn2"),
        "targets": (654, 874),
        "top_k": 5,
        "scale": "own",
        "preprocessing": "trained",
        "confidence": 0.25,
        "iou": 0.7,
        "device": "cpu",
        "versions": {"sightglass": "0.1.0"},
    }
    return Recipe(**(known | changed))


PIXELS = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
VIEW = embedded_recipe.ViewState(index=1, label="cat", settings={"alpha": 0.5, "even": True, "colormap": "viridis"})


@pytest.fixture(params=["png", "jpg"])
def whole(request) -> bytes:
    """A file of each kind with a recipe."""
    encode = {"png": to_png, "jpg": to_jpeg}[request.param]
    return embedded_recipe.write(encode(PIXELS), recipe(), VIEW, picture=b"\xff\xd8\xff" + bytes(200))


def test_embedded_picture_is_restored() -> None:
    jpeg = Image.open(to_jpeg(np.tile(PIXELS, (9, 9, 1))), name="j.jpg")
    for image in (Image(PIXELS, "x.png"), jpeg):
        carried = embedded_recipe.encode(image)
        data = embedded_recipe.write(to_png(PIXELS), recipe(picture_sha256=image.sha256), picture=carried)
        embedded = embedded_recipe.contents(data)
        assert embedded is not None
        back = embedded_recipe.original(embedded)
        assert back is not None
        np.testing.assert_array_equal(back.pixels, image.pixels)
        assert "script" in back.name
        assert embedded_recipe.original(embedded.model_copy(update={"recipe": recipe()})) is None
    assert embedded_recipe.encode(jpeg) == jpeg.jpeg


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_files_are_none_and_never_raise(whole: bytes) -> None:
    rng = np.random.default_rng(1)
    for length in {*range(200), *rng.integers(0, len(whole), 200).tolist()}:
        embedded_recipe.contents(whole[:length])
    for _ in range(600):
        broken = bytearray(whole)
        for at in rng.integers(0, len(whole), 4):
            broken[at] = int(rng.integers(0, 256))
        embedded_recipe.contents(bytes(broken))
    for _ in range(200):
        embedded_recipe.contents(whole[:8] + rng.integers(0, 256, 300, np.uint8).tobytes())


def with_text(body: bytes) -> bytes:
    png = to_png(PIXELS)
    return png[:33] + chunk(b"iTXt", b"Sightglass\0" + body) + png[33:]


@pytest.mark.parametrize(
    "body",
    [
        lambda: b"\1\0\0\0" + zlib.compress(b"[" * 200_000_000, 9),  # a bomb
        b"\0\0\0\0" + b"[" * 100_000,  # nested too deep
        b"\0\0\0\0" + b'{"sightglass":1}',
        b"\0\0\0\0" + b'{"sightglass":2,"recipe":{}}',
        b"\0\0\0\0" + json.dumps({"sightglass": 1, "recipe": recipe().model_dump(mode="json") | {"more": 1}}).encode(),
        b"\0\0\0\0" + json.dumps({"sightglass": 1, "recipe": {"model": "x" * 300_000}}).encode(),
        b"\0\0\0\0" + "\ud800".encode("utf-8", "surrogatepass"),
        b"",
        b"\1",
    ],
    ids=["bomb", "deep", "empty", "version", "extra", "long", "surrogate", "nothing", "cut"],
)
def test_hostile_text_is_none(body: bytes | Callable[[], bytes]) -> None:
    assert embedded_recipe.contents(with_text(body if isinstance(body, bytes) else body())) is None


def test_names_of_a_stranger_s_recipe_are_one_line() -> None:
    strange = recipe(picture_name="a\x1b[31m\nb.png", model="mine\nimport os; os.remove('x') #", layers=["a\nb"])
    assert strange.picture_name == "a [31m b.png"
    assert recipe(versions={"torch\x1b]0;x\a": "1\n2"}).versions == {"torch ]0;x": "1 2"}
    call = embedded_recipe.python_call(strange)
    assert call.startswith("Explainer(model)(") and len(call.splitlines()) == 1
