"""Pictures of one to 16 channels: read whatever they come in, shown, and given to models that take so many."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image as Pillow
from torch import nn

from sightglass.common.errors import ImageProblem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.methods import METHODS
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Target
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.preprocess import CLASSIFIER_WAYS, Preprocessing, prepare
from sightglass.models.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable

DICE = np.random.default_rng(0)
WIDE = DICE.integers(0, 4000, (40, 50, 8)).astype(np.uint16)
SPEC = ModelSpec("bands", "Tests", "", "tests", "bands", "classify", "")


def npy(array: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def tif(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, array, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        npy(WIDE),
        npy(WIDE.transpose(2, 0, 1)),
        npy(np.asfortranarray(WIDE)),
        npy(WIDE[None]),
        npy(WIDE.astype(">u2")),
        tif(WIDE),
        tif(WIDE.transpose(2, 0, 1)),
        tif(WIDE, photometric="minisblack", planarconfig="contig"),
        tif(WIDE.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate"),
        tif(WIDE, photometric="minisblack", planarconfig="contig", compression="zlib", byteorder=">"),
        tif(WIDE.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"}),
    ],
    ids=["rows", "channels first", "fortran", "batch", "other end first", *[f"tif {i}" for i in range(6)]],
)
def test_the_same_numbers_come_out_of_every_file(data: bytes) -> None:
    image = Image.open(data, name="field")
    assert image.planes is not None
    assert image.planes.dtype == np.uint16
    assert np.array_equal(image.planes, WIDE)
    assert not image.planes.flags.writeable
    assert image.pixels.shape == (40, 50, 3)
    assert any("8 channels of uint16; the first three are shown" in note for note in image.notes)
    assert image.sha256 == Image.open(WIDE).sha256
    changed = WIDE.copy()
    changed[3, 4, 7] += 1
    # A channel that nobody sees is part of the picture all the same.
    other = Image.open(changed)
    assert np.array_equal(other.pixels, image.pixels)
    assert other.sha256 != image.sha256


def test_what_every_reader_knows_stays_what_it_was() -> None:
    rgb = DICE.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    for data in (npy(rgb), tif(rgb, photometric="rgb")):
        image = Image.open(data)
        assert image.planes is None
        assert np.array_equal(image.pixels, rgb)
    see_through = np.dstack((rgb, np.full((40, 50), 128, np.uint8)))
    image = Image.open(tif(see_through, photometric="rgb", extrasamples=["unassalpha"]))
    assert image.planes is None
    assert "Transparent areas are shown on white." in image.notes
    # Four bands that are not said to be see-through.
    bands = Image.open(tif(see_through, photometric="rgb", extrasamples=["unspecified"])).planes
    assert bands is not None
    assert np.array_equal(bands, see_through)
    # Pages of a document are no channels.
    assert Image.open(tif(DICE.integers(0, 256, (30, 40, 50)).astype(np.uint8))).notes == (
        "Only the first of 30 frames is used.",
    )


def test_grey_numbers_are_kept_and_shown() -> None:
    heights = DICE.normal(500, 200, (40, 50)).astype(np.float32)
    for data in (npy(heights), tif(heights)):
        image = Image.open(data)
        assert image.planes is not None
        assert np.array_equal(image.planes[:, :, 0], heights)
        assert (image.pixels.min(), image.pixels.max()) == (0, 255)
        assert "scaled to 0 to 255" in image.notes[0]


def bomb() -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6, 4)})
    return header.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (npy(WIDE)[:500], "is cut off"),
        (tif(WIDE, photometric="minisblack", planarconfig="contig")[:4000], "cut off"),
        (npy(np.array([{}, {}], object)), "holds object, not numbers"),
        (npy(np.zeros((40, 50), "S3")), "not numbers"),
        (npy(np.zeros((40, 50), complex)), "not numbers"),
        (npy(np.zeros((40, 50, 40))), "is an array of 40 x 50 x 40; give"),
        (npy(np.zeros(7)), "is an array of 7; give"),
        (npy(np.zeros((0, 7))), "has 0 numbers"),
        (npy(np.full((40, 50, 5), np.nan)), "not finite"),
        (b"\x93NUMPY\x01\x00\x05\x00junk\n", r"is not a readable .npy file"),
        (b"\x93NUMPY\x09\x00", r"is not a readable .npy file"),
        (bomb(), r"has 4,000,000,000,000 numbers; give at least one and at most"),
        (tif(np.zeros((40, 50, 20), np.uint8), photometric="minisblack", planarconfig="contig"), "has 20 channels"),
    ],
)
def test_what_is_no_picture_is_said_in_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(ImageProblem, match=words) as problem:
        Image.open(data, name="field")
    assert "\n" not in str(problem.value)


def test_nothing_is_unpickled() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return pytest.fail, ("it was unpickled",)

    out = io.BytesIO()
    np.save(out, np.array([Bomb()], object), allow_pickle=True)
    with pytest.raises(ImageProblem, match="not numbers"):
        Image.open(out.getvalue())


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_files_are_refused_and_never_worse() -> None:
    whole = [npy(WIDE), tif(WIDE), tif(WIDE, photometric="minisblack", planarconfig="contig", compression="zlib")]
    for data in whole:
        for _ in range(60):
            bad = bytearray(data)
            for at in DICE.integers(0, min(len(bad), 900), 6):
                bad[at] = DICE.integers(0, 256)
            try:
                Image.open(bytes(bad), max_pixels=10**6)
            except ImageProblem as problem:
                assert "\n" not in str(problem)


class Bands(nn.Module):
    """Whether the last channel or the first is brighter, through one convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 1, bias=False)
        self.relu = nn.ReLU()
        nn.init.zeros_(self.conv.weight)
        self.conv.weight.data[0, 0] = self.conv.weight.data[1, -1] = 4.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.conv(x)).mean((2, 3))


def test_every_channel_is_prepared_as_a_picture_is() -> None:
    """An array of the three colours goes the way of the RGB picture, to within what bytes are rounded by."""
    rgb = DICE.integers(0, 256, (90, 120, 3)).astype(np.uint8)
    numbers = Preprocessing((32, 48), 40, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    for way in CLASSIFIER_WAYS:
        expected = prepare(rgb, numbers, way)
        for array in (rgb.astype(np.uint16) * 257, rgb.astype(np.float32) / 255):
            given = prepare(array, numbers, way)
            assert given.geometry == expected.geometry
            torch.testing.assert_close(given.tensor, expected.tensor, atol=0.03, rtol=0)
        divided = Preprocessing((32, 48), 40, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), divide_by=510)
        given = prepare(rgb.astype(np.float32) * 2, divided, way)
        torch.testing.assert_close(given.tensor, expected.tensor, atol=0.03, rtol=0)


def test_a_grey_model_takes_the_grey_of_a_colour_picture() -> None:
    rgb = DICE.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    given = prepare(rgb, Preprocessing((32, 32), 32, (0.0,), (1.0,)), "squash")
    assert given.tensor.shape == (1, 1, 32, 32)
    grey = np.asarray(Pillow.fromarray(rgb).convert("L")).astype(np.float32) / 255
    torch.testing.assert_close(given.tensor[0, 0], torch.from_numpy(grey))


@pytest.mark.parametrize("channels", [2, 5, 16])
def test_the_map_is_where_the_channel_says(channels: int) -> None:
    numbers = Preprocessing((32, 32), 32, (0.1,) * channels, (0.5,) * channels)
    adapter = Classifier(SPEC, Bands(channels), ["first", "last"], numbers, "")
    resident = Resident(adapter, torch.device("cpu"))
    field = np.full((64, 64, channels), 0.1, np.float32)
    field[8:24, 40:56, -1] = 0.9
    given = adapter.prepare(Image.open(field).taken(channels, "bands"), "squash")
    assert given.tensor.shape == (1, channels, 32, 32)
    evidence = Evidence(resident, given, (resident.known_layers["relu"],))
    from sightglass.explain.methods.from_evidence import raw_maps

    last = Target(1, "last")
    (made,) = raw_maps(evidence, METHODS["hirescam"], [last])
    row, column = divmod(int(made[0].argmax()), 32)
    assert 4 <= row < 12
    assert 20 <= column < 28
    (hidden,) = METHODS["occlusion"].run(evidence, [last]).maps
    row, column = divmod(int(hidden[0].argmax()), hidden.shape[2])
    assert 3 <= row * 32 / hidden.shape[1] < 13
    assert 19 <= column * 32 / hidden.shape[2] < 29


@pytest.mark.parametrize(
    ("source", "channels", "words"),
    [
        (WIDE, 3, "bands takes RGB pictures: choose a model for 8 channels"),
        (WIDE, 4, "field has 8 channels, and bands takes 4 channels: give a .npy or a .tif with 4"),
        (np.zeros((9, 9, 3), np.uint8), 5, "field is an RGB picture, and bands takes 5 channels"),
    ],
)
def test_a_picture_that_does_not_fit_is_said(source: Any, channels: int, words: str) -> None:
    with pytest.raises(ImageProblem, match=words):
        Image.open(source, name="field").taken(channels, "bands")
