"""Similarity: the gradient is autograd's, and galleries are evaluated."""

import io
import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from sightglass.cli import main
from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.layers import as_map
from sightglass.explain.picture.image import Image
from sightglass.explain.similarity.ranking import evaluate, rank
from sightglass.explain.similarity.similarity import embedding, similarity
from sightglass.report import similarity_files
from tests.conftest import asset
from training.demo import person_scenes


@pytest.fixture(scope="module")
def lite() -> Explainer:
    return Explainer("efficientnet-lite0")


@pytest.fixture(scope="module")
def zidane() -> Path:
    return asset("ultralytics", "assets", "zidane.jpg")


def autograd(explainer: Explainer, paths: list[Path], layer: str) -> tuple[float, list[np.ndarray]]:
    """The plain way: both pictures through the module, the layer's output kept, one backward pass of the cosine."""
    adapter = explainer.loaded.adapter
    recorded: list[torch.Tensor] = []

    def keep(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        recorded.append(output.detach().requires_grad_())
        return recorded[-1]

    handle = adapter.module.get_submodule(layer).register_forward_hook(keep)
    try:
        vectors = []
        for path in paths:
            model_input = adapter.prepare(Image.open(path).pixels, "trained")
            vectors.append(adapter.embedding(adapter.run(model_input.tensor.to(explainer.loaded.device)))[0])
    finally:
        handle.remove()
    cosine = torch.nn.functional.cosine_similarity(vectors[0], vectors[1], dim=0)
    cosine.backward()
    maps = []
    layer_info = explainer.loaded.survey.by_path[layer]
    for output in recorded:
        maps.append((as_map(output.grad, layer_info) * as_map(output.detach(), layer_info))[0].sum(0).cpu().numpy())
    return float(cosine.detach()), maps


@pytest.mark.parametrize(("model", "layer"), [("efficientnet-lite0", "bn2"), ("demo-vit", "blocks.3.norm1")])
def test_the_gradient_of_both_pictures_is_autograds(model: str, layer: str, bus: Path, zidane: Path) -> None:
    explainer = Explainer(model)
    score, maps = autograd(explainer, [bus, zidane], layer)
    result = similarity(explainer, bus, zidane, layers=(layer,), method="hirescam")
    assert result.score == pytest.approx(score, abs=1e-5)
    for side, expected in zip(result.sides, maps, strict=True):
        assert np.abs(side.raw[0] - expected).max() <= 1e-5 * np.abs(expected).max() + 1e-9
    # One scale: what is weak beside the other picture is drawn weaker.
    for side, values in zip(result.sides, maps, strict=True):
        share = np.abs(values).max() / max(np.abs(other).max() for other in maps)
        assert np.abs(side.signed).max() == pytest.approx(share, abs=0.05)
    assert max(np.abs(side.signed).max() for side in result.sides) == pytest.approx(1, abs=1e-5)


def test_the_same_picture_has_no_gradient_and_says_so(lite: Explainer, bus: Path) -> None:
    result = similarity(lite, bus, bus)
    assert (result.state, result.score) == ("same", pytest.approx(1, abs=1e-5))
    assert not result.query.signed.any()
    assert np.isfinite(similarity(lite, np.zeros((9, 9, 3), np.uint8), bus).query.signed).all()


def test_indistinct_pair_draws_nothing(lite: Explainer, bus: Path) -> None:
    image = Image.open(bus)
    compressed = io.BytesIO()
    Pillow.fromarray(image.pixels).save(compressed, "JPEG", quality=90)
    result = similarity(lite, image, compressed.getvalue())
    # The gradient is there, and on one scale of its own it would paint half of each picture.
    assert all(np.abs(side.raw[0]).max() > 0 for side in result.sides)
    assert result.state == "indistinct"
    assert not any(side.signed.any() for side in result.sides)
    (sentence,) = similarity_files.describe_maps(result)
    assert "as little as a picture and its mirror image" in sentence
    assert similarity_files.pair_view(result).sentence == sentence
    assert np.array_equal(similarity_files.draw_pair(result)[0], result.query.image.pixels)


def test_what_cannot_be_compared_is_said(lite: Explainer, bus: Path) -> None:
    for options in ({"method": "eigencam"}, {"layers": ("nowhere",)}, {"preprocessing": "stretch"}):
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
    result = rank(lite, bus, gallery)
    assert result.itself == ("bus.png",)
    assert [name for name, _ in result.failed] == ["broken.png"]
    assert result.hits[0].name == "bus_near.png"
    assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)
    # A ranking's score is the comparison's.
    assert similarity(lite, bus, result.hits[0].item.open()).score == pytest.approx(result.hits[0].score, abs=1e-5)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        rank(lite, bus, gallery, cancel=stop)


def test_similarity_command_writes_maps(bus, zidane, tmp_path, capsys):
    assert main(["similarity", str(bus), str(zidane), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{bus.name} and {zidane.name}: similarity 0.26.")
    assert {path.name for path in tmp_path.iterdir()} == {"similarity.jpg", "maps.npz", "similarity.json"}
    body = json.loads((tmp_path / "similarity.json").read_text())
    maps = np.load(tmp_path / "maps.npz")
    assert maps["query"].shape == (224, 224)
    assert float(maps["query_vector"] @ maps["gallery_vector"]) == pytest.approx(body["score"], abs=1e-5)


def test_the_command_ranks_a_gallery(bus, gallery, tmp_path, capsys):
    code = main(
        ["similarity", str(bus), "--gallery", str(gallery), "--top", "2", "--out", str(tmp_path / "o"), "--json"]
    )
    assert code == 1  # one file is no picture
    body = json.loads(capsys.readouterr().out)
    assert body["ranking"][0]["picture"] == "bus_near.png"
    assert body["files"] == ["ranking.csv", "top1_bus_near.jpg", f"top2_{body['top'][1]['gallery'][:-4]}.jpg"]
    assert (tmp_path / "o/ranking.csv").read_text().splitlines()[1].startswith("1,bus_near.png,")


def reference(
    scores: np.ndarray, queries: list[tuple[str, str]], gallery: list[tuple[str, str]], ranks: int = 50
) -> tuple[list[float], float]:
    """The protocol, read from its definition and in plain loops: the CMC curve and mAP."""
    hits, precisions = [], []
    for q, (person, camera) in enumerate(queries):
        ranking = sorted(range(len(gallery)), key=lambda g: (-scores[q][g], g))
        ranking = [g for g in ranking if gallery[g] != (person, camera)]
        reports, right = [], 0
        for place, g in enumerate(ranking, start=1):
            if gallery[g][0] == person:
                right += 1
                reports.append((place, right / place))
        if not reports:
            continue
        hits.append(reports[0][0])
        precisions.append(sum(share for _, share in reports) / len(reports))
    return [sum(hit <= k for hit in hits) / len(hits) for k in range(1, ranks + 1)], sum(precisions) / len(precisions)


@pytest.fixture(scope="module")
def reid() -> Explainer:
    return Explainer("demo-reid")


def save_person(path: Path, person: int, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(person_scenes.draw(person_scenes.sample(person, number, held_out=True)).pixels).save(path)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders named as Market-1501's: two cameras, twins, one distractor, one junk picture, one person alone."""
    root = tmp_path_factory.mktemp("market")
    for person in range(1, 7):
        for camera in (1, 2):
            save_person(root / f"gallery/{person:04}_c{camera}s1_000001_00.png", person + 300, camera)
            save_person(root / f"gallery/{person:04}_c{camera}s2_000002_00.png", person + 300, camera + 2)
        save_person(root / f"query/{person:04}_c1s1_000009_00.png", person + 300, 6)
    save_person(root / "query/0042_c1s1_000009_00.png", 342, 0)
    save_person(root / "gallery/0000_c3s1_000003_00.png", 301, 5)
    save_person(root / "gallery/-1_c3s1_000004_00.png", 301, 7)
    return root


def test_folders_of_market_are_evaluated_by_its_protocol(reid: Explainer, market: Path) -> None:
    result = evaluate(reid, market / "query", market / "gallery", names="market1501")

    def read(name: str) -> tuple[list[tuple[str, str]], np.ndarray]:
        files = [path for path in sorted((market / name).iterdir()) if not path.name.startswith("-1")]
        named = [re.match(r"(\d+)_c(\d)", path.name) for path in files]
        return [(m[1], m[2]) for m in named if m], np.stack([embedding(reid, Image.open(path)) for path in files])

    (queries, q), (gallery, g) = read("query"), read("gallery")
    curve, mean = reference(q @ g.T, queries, gallery, ranks=len(gallery))
    assert result.mean_ap == pytest.approx(mean)
    assert [result.rank(k) for k in range(1, len(gallery) + 1)] == pytest.approx(curve)
    # A person who is not in the gallery does not count.
    assert len(result.queries) == 6 and result.without_match == ("0042_c1s1_000009_00.png",)
    assert all(query.average_precision > 0 and len(query.top) == 10 for query in result.queries)


def test_what_cannot_be_evaluated_is_one_sentence(reid: Explainer, market: Path) -> None:
    query, gallery = market / "query", market / "gallery"
    for names, words in (
        ("(", "no regular expression"),
        (r"(\d+)", "person"),
        (r"(?P<person>x)", "check both folders"),
    ):
        with pytest.raises(ModelProblem, match=words):
            evaluate(reid, query, gallery, names=names)


def test_reid_command_writes_report(
    market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    captions: list[list[str]] = []
    arrange = similarity_files.contact_sheet

    def draw(panels: list[np.ndarray], texts: list[str], *more: Any, **options: Any) -> np.ndarray:
        captions.append(texts)
        return arrange(panels, texts, *more, **options)

    monkeypatch.setattr(similarity_files, "contact_sheet", draw)
    call = ["similarity", str(market / "query"), "--gallery", str(market / "gallery"), "--names", "market1501"]
    call += ["--model", "demo-reid", "--top", "3", "--visualize", "--num-visualize", "2", "--out", str(tmp_path)]
    assert main([*call, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert set(body["rank"]) == {"1", "5", "10"}
    sheets = [f"visualized/query{i}_000{i}_c1s1_000009_00.jpg" for i in (1, 2)]
    assert body["files"] == ["report.json", "queries.csv", *sheets]
    assert json.loads((tmp_path / "report.json").read_text())["mAP"] == body["mAP"]
    assert len((tmp_path / "queries.csv").read_text().splitlines()) == 7
    queries = evaluate(Explainer("demo-reid"), market / "query", market / "gallery").queries[:2]
    for query, texts in zip(queries, captions, strict=True):
        ranked = enumerate(query.top[:3], 1)
        row = ["query", *(f"{n}. {'right' if right else 'wrong'} {s:.2f}" for n, (_, s, right) in ranked)]
        assert texts == [*row, *["attention"] * 4]
