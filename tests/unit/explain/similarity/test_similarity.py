"""Similarity: the gradient is autograd's, a known cause is found, and numbers are told against what they start from."""

from __future__ import annotations

import io
import json
import threading
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
from sightglass.explain.rendering.color_tables import FIRST_RGB, SECOND_RGB
from sightglass.explain.similarity.ranking import Context, context, rank
from sightglass.explain.similarity.similarity import similarity
from sightglass.export import similarity_files
from sightglass.models.demo import person_scenes
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
    shares = []
    for path, other in zip(pictures, [*pictures[1:], pictures[0]], strict=True):
        both = joined(other, path)
        alone = np.asarray(Pillow.open(path).convert("RGB").resize((256, 256)))[20:236, 20:236][:, ::-1]
        found = similarity(lite, both, np.ascontiguousarray(alone), preprocessing="squash")
        mask = np.zeros(both.shape[:2], bool)
        mask[:, 224:] = True
        shares.append(found.query.share(mask))
    assert min(shares) > 0.7 and np.mean(shares) > 0.9


def test_cells_of_a_mirrored_picture_match_their_mirror_images(lite: Explainer, bus: Path) -> None:
    pixels = Image.open(bus).pixels[200:900, 50:750]
    found = similarity(lite, pixels, np.ascontiguousarray(pixels[:, ::-1]), layers=("blocks.4",))
    columns = found.matches.query.shape[1]
    right = [abs(pair.query[1] + pair.gallery[1] - (columns - 1)) <= 1 for pair in found.matches.pairs]
    assert np.mean(right) > 0.8


def test_the_same_picture_has_no_gradient_and_says_so(lite: Explainer, bus: Path) -> None:
    found = similarity(lite, bus, bus)
    assert (found.state, found.score) == ("same", pytest.approx(1, abs=1e-5))
    assert not found.query.signed.any()
    assert similarity(lite, bus, bus, of="product").state == "ok"
    blank = similarity(lite, np.zeros((9, 9, 3), np.uint8), bus)
    assert np.isfinite(blank.query.signed).all()


def test_nothing_is_drawn_where_two_pictures_differ_as_little_as_a_mirror_image(lite: Explainer, bus: Path) -> None:
    image = Image.open(bus)
    compressed = io.BytesIO()
    Pillow.fromarray(image.pixels).save(compressed, "JPEG", quality=90)
    found = similarity(lite, image, compressed.getvalue())
    # The gradient is there, and on one scale of its own it would paint half of each picture.
    assert all(np.abs(side.raw[0]).max() > 0 for side in found.sides)
    assert found.state == "indistinct"
    assert not any(side.signed.any() for side in found.sides)
    (sentence,) = similarity_files.places(found)
    assert "as little as a picture and its mirror image" in sentence
    assert np.array_equal(similarity_files.overlay(found.query), found.query.image.pixels)
    # What the score is made of is no difference: it is still drawn.
    assert similarity(lite, image, compressed.getvalue(), of="product").state == "ok"


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
    found = rank(lite, bus, gallery)
    assert found.itself == ("bus.png",)
    assert [name for name, _ in found.failed] == ["broken.png"]
    assert found.hits[0].name == "bus_near.png"
    assert [hit.score for hit in found.hits] == sorted((hit.score for hit in found.hits), reverse=True)
    # A ranking's score is the comparison's.
    assert similarity(lite, bus, found.hits[0].item.open()).score == pytest.approx(found.hits[0].score, abs=1e-5)
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
    assert held.verdict(held.chance + 0.01) == "more related than unrelated pictures"
    assert held.verdict(max(held.unrelated) + 1e-7) == "unrelated"
    assert held.verdict(-0.5).startswith("less related than unrelated")
    # Printed as 1.00.
    assert Context((0.1, 0.2, 0.3), 0.97).verdict(0.996) == "the same picture to this model"
    assert Context((0.99, 0.999), 0.9995).verdict(0.9999) == "but this model scores everything as related"


def test_persons_keep_the_colours_of_their_clothes() -> None:
    specs = [person_scenes.example(), *person_scenes.to_compare().values()]
    found = similarity(Explainer("demo-reid"), *(person_scenes.draw(spec).pixels for spec in specs[:2]))
    for side, drawn in zip(found.sides, similarity_files.draw_pair(found), strict=True):
        times = drawn.shape[0] // side.image.height
        lines = (drawn != side.image.pixels.repeat(times, 0).repeat(times, 1)).any(2)
        # Lines, in both colours, and otherwise the picture as it is.
        assert 0.01 < lines.mean() < 0.4
        assert all((np.abs(drawn.astype(int) - colour).sum(2) == 0).any() for colour in (FIRST_RGB, SECOND_RGB))


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.png"], "Give two pictures"),
        (["a.png", "b.png", "--gallery", "."], "give one picture"),
        (["a.png", "--gallery", ".", "--method", "all"], "name one method"),
    ],
)
def test_wrong_use_of_the_command_is_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["similarity", *arguments]) == 2
    assert words in capsys.readouterr().err
