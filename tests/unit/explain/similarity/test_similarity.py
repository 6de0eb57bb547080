"""Similarity: the gradient is autograd's, a known cause is found, and numbers are told against what they start from."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from sightglass.cli import main
from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.layers import as_map
from sightglass.explain.picture.image import Image
from sightglass.explain.similarity.ranking import Context, context, rank
from sightglass.explain.similarity.similarity import embedding, similarity
from sightglass.export import similarity_files
from tests.conftest import asset


@pytest.fixture(scope="module")
def lite() -> Explainer:
    return Explainer("efficientnet-lite0")


@pytest.fixture(scope="module")
def zidane() -> Path:
    return asset("ultralytics", "assets", "zidane.jpg")


def autograd(explainer: Explainer, paths: list[Path], layer: str, of: str) -> tuple[float, list[np.ndarray]]:
    """The plain way: both pictures through the module, the layer's output kept, one backward pass of the cosine."""
    adapter = explainer.resident.adapter
    kept: list[torch.Tensor] = []

    def keep(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    handle = adapter.module.get_submodule(layer).register_forward_hook(keep)
    try:
        vectors = []
        for path in paths:
            given = adapter.prepare(Image.open(path).pixels, "trained")
            vectors.append(adapter.embedding(adapter.run(given.tensor))[0])
    finally:
        handle.remove()
    cosine = torch.nn.functional.cosine_similarity(vectors[0], vectors[1], dim=0)
    if of == "product":
        lengths = [vector.norm().detach() for vector in vectors]
        (vectors[0] @ vectors[1] / lengths[0] / lengths[1]).backward()
    else:
        cosine.backward()
    maps = []
    found = explainer.resident.known_layers[layer]
    for output in kept:
        assert output.grad is not None
        maps.append((as_map(output.grad, found) * as_map(output.detach(), found))[0].sum(0).numpy())
    return float(cosine.detach()), maps


@pytest.mark.parametrize(("model", "layer"), [("efficientnet-lite0", "bn2"), ("demo-vit", "blocks.3.norm1")])
@pytest.mark.parametrize("of", ["cosine", "product"])
def test_the_gradient_of_both_pictures_is_autograds(model: str, layer: str, of: str, bus: Path, zidane: Path) -> None:
    explainer = Explainer(model)
    score, maps = autograd(explainer, [bus, zidane], layer, of)
    found = similarity(explainer, bus, zidane, layers=(layer,), of=of, method="hirescam")  # type: ignore[arg-type]
    assert found.score == pytest.approx(score, abs=1e-5)
    for side, expected in zip(found.sides, maps, strict=True):
        assert np.abs(side.raw[0] - expected).max() <= 1e-5 * np.abs(expected).max() + 1e-9
    # One scale: what is weak beside the other picture is drawn weaker.
    for side, own in zip(found.sides, maps, strict=True):
        share = np.abs(own).max() / max(np.abs(one).max() for one in maps)
        assert np.abs(side.signed).max() == pytest.approx(share, abs=0.05)
    assert max(np.abs(side.signed).max() for side in found.sides) == pytest.approx(1, abs=1e-5)


OWN = """
[model."dino"]
loader = "timm"
arch = "vit_small_patch14_reg4_dinov2"
task = "embed"
weights = { random = 1, preprocessing = { size = 112 } }
[model."persons"]
loader = "osnet"
arch = "osnet_x0_25"
task = "embed"
weights = { random = 1 }
"""


@pytest.mark.parametrize(
    ("model", "layer", "grid"), [("dino", "blocks.11.norm1", (8, 8)), ("persons", "conv5", (16, 8))]
)
def test_models_made_to_compare_are_autograds_too(
    model: str,
    layer: str,
    grid: tuple[int, int],
    bus: Path,
    zidane: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "models.toml").write_text(OWN)
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "models.toml"))
    explainer = Explainer(model)
    assert explainer.default_layers == (layer,)
    score, maps = autograd(explainer, [bus, zidane], layer, "cosine")
    found = similarity(explainer, bus, zidane)
    assert found.score == pytest.approx(score, abs=1e-5)
    for side, expected in zip(found.sides, maps, strict=True):
        assert side.raw[0].shape == grid
        assert np.abs(side.raw[0] - expected).max() <= 1e-3 * np.abs(expected).max() + 1e-9


def test_before_an_average_a_cosines_map_sums_to_0_and_a_products_to_the_score(
    lite: Explainer, bus: Path, zidane: Path
) -> None:
    cosine = similarity(lite, bus, zidane)
    product = similarity(lite, bus, zidane, of="product")
    for side in cosine.sides:
        assert abs(float(side.raw[0].sum())) < 1e-4 * float(np.abs(side.raw[0]).sum())
    for side in product.sides:
        assert float(side.raw[0].sum()) == pytest.approx(product.score, rel=1e-4)


def joined(left: Path, right: Path) -> np.ndarray:
    """Two pictures as one, 224 pixels high and 448 wide."""
    halves = [np.asarray(Pillow.open(path).convert("RGB").resize((224, 224))) for path in (left, right)]
    return np.concatenate(halves, 1)


def test_of_a_picture_joined_from_two_the_half_that_is_shared_makes_them_alike(
    lite: Explainer, pictures: list[Path]
) -> None:
    shares, apart = [], []
    for i, path in enumerate(pictures):
        other = pictures[(i + 1) % len(pictures)]
        for right in (False, True):
            both = joined(other, path) if right else joined(path, other)
            alone = np.asarray(Pillow.open(path).convert("RGB").resize((256, 256)))[20:236, 20:236][:, ::-1]
            found = similarity(lite, both, np.ascontiguousarray(alone), preprocessing="squash")
            mask = np.zeros(both.shape[:2], bool)
            mask[:, 224:] = right
            mask[:, :224] = not right
            shares.append(found.query.share(mask))
            apart.append(found.query.statistics[1].quadrants)
            # Left and right quarters of what sets them apart.
            apart[-1] = sum(apart[-1][1::2]) if right else sum(apart[-1][::2])
    assert len(shares) == 8
    assert min(shares) > 0.7
    assert np.mean(shares) > 0.9
    assert np.mean(apart) < 0.15


def test_on_drawn_scenes_the_thing_that_both_hold_makes_them_alike() -> None:
    from sightglass.models.demo.scenes import draw, sample

    scenes: dict[str, list[np.ndarray]] = {}
    for seed in range(90):
        scene = draw(sample(seed, task="classify", held_out=True))
        scenes.setdefault(scene.objects[0].label, []).append(scene.pixels)
    explainer = Explainer("demo-cls-l")
    labels = [label for label, found in scenes.items() if len(found) > 1]
    shares = []
    for i, label in enumerate(labels):
        other = scenes[labels[(i + 1) % len(labels)]][0]
        first, second = scenes[label][:2]
        for right in (False, True):
            both = np.concatenate([other, first] if right else [first, other], 1)
            mask = np.zeros(both.shape[:2], bool)
            mask[:, 128 * right : 128 * right + 128] = True
            shares.append(similarity(explainer, both, second, preprocessing="squash").query.share(mask))
    assert len(shares) >= 12
    # Half of the picture; without the model it would be a half of the heat.
    assert np.mean(shares) > 0.65


def test_cells_of_a_mirrored_picture_match_their_mirror_images(lite: Explainer, bus: Path) -> None:
    pixels = Image.open(bus).pixels[200:900, 50:750]
    found = similarity(lite, pixels, np.ascontiguousarray(pixels[:, ::-1]), layers=("blocks.4",))
    scores, (rows, columns) = found.matches.scores, found.matches.query.shape
    mirrored = np.arange(rows * columns).reshape(rows, columns)[:, ::-1].ravel()
    best = scores.argmax(1)
    near = [
        abs(a // columns - b // columns) + abs(a % columns - b % columns) <= 2
        for a, b in zip(best, mirrored, strict=True)
    ]
    assert np.mean(near) > 0.5
    assert all(pair.score > 0 for pair in found.matches.pairs)
    right = [abs(pair.query[1] + pair.gallery[1] - (columns - 1)) <= 1 for pair in found.matches.pairs]
    assert np.mean(right) > 0.8


def test_nothing_is_drawn_where_two_pictures_differ_as_little_as_a_mirror_image(lite: Explainer, bus: Path) -> None:
    image = Image.open(bus)
    compressed = io.BytesIO()
    Pillow.fromarray(image.pixels).save(compressed, "JPEG", quality=90)
    halved = Pillow.open(asset("sklearn", "datasets", "images", "china.jpg"))
    halved = halved.resize((halved.width // 2, halved.height // 2))
    china = asset("sklearn", "datasets", "images", "china.jpg")
    for query, other, least in ((image, compressed.getvalue(), 0.999), (china, np.asarray(halved), 0.93)):
        found = similarity(lite, query, other)
        assert least < found.score < 0.99999
        # The gradient is there, and on one scale of its own it would paint half of each picture.
        assert all(np.abs(side.raw[0]).max() > 0 for side in found.sides)
        assert found.state == "indistinct"
        assert not any(side.signed.any() for side in found.sides)
        (sentence,) = similarity_files.places(found)
        assert "as little as a picture and its mirror image" in sentence
        assert np.array_equal(similarity_files.overlay(found.query), found.query.image.pixels)
        # What the score is made of is no difference: it is still drawn.
        assert similarity(lite, query, other, of="product").state == "ok"
    part = np.ascontiguousarray(image.pixels[200:760, 80:800, :][:, ::-1])
    assert similarity(lite, bus, part).state == "ok"


def test_what_cannot_be_compared_is_said(lite: Explainer, bus: Path) -> None:
    for options in ({"method": "eigencam"}, {"of": "angle"}, {"layers": ("nowhere",)}, {"preprocessing": "stretch"}):
        with pytest.raises(ModelProblem):
            similarity(lite, bus, bus, **options)  # type: ignore[arg-type]
    detector = Explainer("demo-s")
    for work in (similarity, rank):
        with pytest.raises(ModelProblem, match="gives no embedding: choose a classifier"):
            work(detector, bus, bus)


@pytest.fixture
def gallery(tmp_path: Path, pictures: list[Path]) -> Path:
    folder = tmp_path / "gallery"
    folder.mkdir()
    for path in pictures:
        Pillow.open(path).save(folder / f"{path.stem}.png")
        picture = Pillow.open(path).transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
        picture.crop((0, 0, picture.width * 4 // 5, picture.height)).save(folder / f"{path.stem}_near.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_a_gallery_is_ranked_and_the_near_one_leads(lite: Explainer, bus: Path, gallery: Path) -> None:
    told: list[float] = []
    found = rank(lite, bus, gallery, progress=lambda share, _words: told.append(share))
    assert found.itself == ("bus.png",)
    assert [name for name, _ in found.failed] == ["broken.png"]
    assert found.hits[0].name == "bus_near.png"
    assert [hit.score for hit in found.hits] == sorted((hit.score for hit in found.hits), reverse=True)
    assert told == sorted(told)
    # A ranking's score is the comparison's.
    assert similarity(lite, bus, found.hits[0].item.open()).score == pytest.approx(found.hits[0].score, abs=1e-5)
    import threading

    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        rank(lite, bus, gallery, cancel=stop)


def test_a_number_is_told_against_unrelated_pictures_and_a_mirror_image(lite: Explainer, bus: Path) -> None:
    held = context(lite, Image.open(bus))
    assert len(held.unrelated) == 6
    assert max(held.unrelated) < 0.5 < held.mirrored < 1
    assert held.verdict(1.0).startswith("the same picture")
    assert "mirror image" in held.verdict(held.mirrored)
    # Printed as 1.00.
    assert Context((0.1, 0.2, 0.3), 0.97).verdict(0.996) == "the same picture to this model"
    assert held.verdict(held.chance + 0.01) == "more related than unrelated pictures"
    assert held.verdict(held.chance + 0.3 * (held.mirrored - held.chance)) == "clearly related"
    assert held.chance >= max(held.unrelated)
    assert Context((0.1, 0.2, 0.3, 0.32), 0.9).verdict(0.35).startswith("barely more related than unrelated")
    assert Context((0.99, 0.999), 0.9995).verdict(0.9999) == "but this model scores everything as related"
    assert held.verdict(max(held.unrelated) + 1e-7) == "unrelated"
    assert held.verdict(-0.5).startswith("less related than unrelated")
    assert f"{held.mirrored:.2f}" in held.words
    assert "unrelated" not in Context((), 0.9).words
    vector = embedding(lite, Image.open(bus))
    assert float(vector @ vector) == pytest.approx(1, abs=1e-5)


def test_the_command_writes_both_maps_and_says_what_the_number_means(
    bus: Path, zidane: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["similarity", str(bus), str(zidane), "--out", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said["files"]) == {"similarity.jpg", "pairs.jpg", "maps.npz", "similarity.json"}
    assert all((tmp_path / name).is_file() for name in said["files"])
    assert said["headline"].startswith(f"{bus.name} and {zidane.name}: {said['score']:.2f}, ")
    maps = np.load(tmp_path / "maps.npz")
    assert maps["query"].shape == (224, 224)
    assert float(maps["query_vector"] @ maps["gallery_vector"]) == pytest.approx(said["score"], abs=1e-5)
    assert main(["similarity", str(bus), str(zidane), "--out", str(tmp_path)]) == 0
    assert "For comparison, unrelated pictures score" in capsys.readouterr().out


def test_the_command_ranks_a_gallery(
    bus: Path, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        ["similarity", str(bus), "--gallery", str(gallery), "--top", "2", "--out", str(tmp_path / "o"), "--json"]
    )
    assert code == 1  # one file is no picture
    said = json.loads(capsys.readouterr().out)
    assert said["ranking"][0]["picture"] == "bus_near.png"
    assert said["files"] == ["ranking.csv", "top1_bus_near.jpg", f"top2_{said['top'][1]['gallery'][:-4]}.jpg"]
    assert (tmp_path / "o/ranking.csv").read_text().splitlines()[1].startswith("1,bus_near.png,")
