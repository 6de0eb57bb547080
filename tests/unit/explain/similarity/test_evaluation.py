"""Re-identification's evaluation: the protocol's numbers, against an independent reference and by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.cli import main
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.source import find
from sightglass.explain.similarity import evaluation
from sightglass.explain.similarity.evaluation import average_precision, cmc, evaluate, order
from sightglass.explain.similarity.similarity import embedding
from sightglass.models.demo import person_scenes


def reference(
    scores: np.ndarray, queries: list[tuple[str, str]], gallery: list[tuple[str, str]], ranks: int = 50
) -> tuple[list[float], float]:
    """The protocol, read from its definition and in plain loops: the CMC curve and mAP."""
    hits, precisions = [], []
    for q, (person, camera) in enumerate(queries):
        ranking = sorted(range(len(gallery)), key=lambda g: (-scores[q][g], g))
        ranking = [g for g in ranking if gallery[g] != (person, camera)]
        seen, right = [], 0
        for place, g in enumerate(ranking, start=1):
            if gallery[g][0] == person:
                right += 1
                seen.append((place, right / place))
        if not seen:
            continue
        hits.append(seen[0][0])
        precisions.append(sum(share for _, share in seen) / len(seen))
    curve = [sum(hit <= k for hit in hits) / len(hits) for k in range(1, ranks + 1)]
    return curve, sum(precisions) / len(precisions)


def test_precision_and_curve_by_hand() -> None:
    yes, no = True, False
    # Right at 1 and 3: (1/1 + 2/3) / 2. Right at 2, 3 and 5: (1/2 + 2/3 + 3/5) / 3.
    assert average_precision(np.array([yes, no, yes, no])) == pytest.approx(5 / 6)
    assert average_precision(np.array([no, yes, yes, no, yes])) == pytest.approx(53 / 90)
    assert np.isnan(average_precision(np.array([no, no])))
    rankings = [np.array([yes, no, yes]), np.array([no, no, yes]), np.array([no, yes, yes]), np.array([no, no])]
    # The last has no right picture: it does not count.
    assert cmc(rankings, 4).tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1])
    with pytest.raises(ValueError, match="No ranking"):
        cmc([np.array([no])])
    scores = np.array([0.5, 0.9, 0.5, 0.7])
    assert order(scores, np.array([no, no, no, yes])).tolist() == [1, 0, 2]


def test_numbers_equal_the_reference_and_scikit_learn_on_random_features() -> None:
    from sklearn import metrics

    random = np.random.default_rng(3)
    for _ in range(20):
        queries = [(str(random.integers(6)), str(random.integers(3))) for _ in range(12)]
        gallery = [(str(random.integers(8)), str(random.integers(3))) for _ in range(60)]
        scores = random.random((12, 60))
        rankings, precisions = [], []
        for q, (person, camera) in enumerate(queries):
            same = np.array([p == person for p, _ in gallery])
            out = same & np.array([c == camera for _, c in gallery])
            ranking = order(scores[q], out)
            if same[ranking].any():
                rankings.append(same[ranking])
                precisions.append(average_precision(same[ranking]))
                assert precisions[-1] == pytest.approx(metrics.average_precision_score(same[~out], scores[q][~out]))
        curve, mean = reference(scores, queries, gallery)
        assert cmc(rankings).tolist() == pytest.approx(curve)
        assert np.mean(precisions) == pytest.approx(mean)


@pytest.fixture(scope="module")
def reid() -> Explainer:
    return Explainer("demo-reid")


def draw(path: Path, person: int, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(person_scenes.draw(person_scenes.sample(person, number, held_out=True)).pixels).save(path)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders named as Market-1501's: two cameras, twins, one distractor, one junk picture, one person alone."""
    root = tmp_path_factory.mktemp("market")
    for person in range(1, 7):
        for camera in (1, 2):
            draw(root / f"gallery/{person:04}_c{camera}s1_000001_00.png", person + 300, camera)
            draw(root / f"gallery/{person:04}_c{camera}s2_000002_00.png", person + 300, camera + 2)
        draw(root / f"query/{person:04}_c1s1_000009_00.png", person + 300, 6)
    draw(root / "query/0042_c1s1_000009_00.png", 342, 0)
    draw(root / "gallery/0000_c3s1_000003_00.png", 301, 5)
    draw(root / "gallery/-1_c3s1_000004_00.png", 301, 7)
    return root


def test_folders_of_market_are_evaluated_by_its_protocol(reid: Explainer, market: Path) -> None:
    found = evaluate(reid, market / "query", market / "gallery", names="market1501")

    def read(name: str) -> tuple[list[tuple[str, str]], np.ndarray]:
        files = [path for path in sorted((market / name).iterdir()) if not path.name.startswith("-1")]
        named = [re.match(r"(\d+)_c(\d)", path.name) for path in files]
        vectors = np.stack([embedding(reid, Image.open(path)) for path in files])
        return [(m[1], m[2]) for m in named if m], vectors

    (queries, q), (gallery, g) = read("query"), read("gallery")
    curve, mean = reference(q @ g.T, queries, gallery, ranks=len(gallery))
    assert found.mean_ap == pytest.approx(mean)
    assert found.cmc.tolist() == pytest.approx(curve)
    assert (found.rank(1), found.rank(5)) == pytest.approx((curve[0], curve[4]))
    # Junk is ignored, the distractor stays, and a person who is not in the gallery does not count.
    assert (found.junk, found.gallery, len(found.queries)) == (1, 25, 6)
    assert found.without_match == ("0042_c1s1_000009_00.png",)
    for query in found.queries:
        assert query.first.identified.person == query.identified.person
        assert query.first.identified.camera != query.identified.camera
        assert all(match.identified.person == query.identified.person for match in query.top if match.right)
    guessed = evaluate(reid, market / "query", market / "gallery")
    assert (guessed.names, guessed.mean_ap) == ("market1501", found.mean_ap)


def test_a_folder_is_searched_for_itself_without_each_querys_own_file(reid: Explainer, tmp_path: Path) -> None:
    for person in (0, 1, 6, 7):
        for number in range(3):
            draw(tmp_path / f"{person}_{number}.png", person, number)
    found = evaluate(reid, tmp_path, tmp_path)
    assert (found.names, len(found.queries)) == ("prefix", 12)
    for query in found.queries:
        assert query.item.key not in [match.item.key for match in query.top]
        # Two of the twelve are right: person 0 is a person here, not a distractor.
        assert sum(match.right for match in query.top) <= 2
    assert {query.identified.person for query in found.queries} == {"0", "1", "6", "7"}


def test_names_are_read_in_several_ways(tmp_path: Path) -> None:
    for name in ("anna/1.png", "anna/2.png", "bert/1.png"):
        draw(tmp_path / name, 1, 1)
    items = find(tmp_path)
    assert evaluation.guess(items).name == "folders"
    named, unnamed = evaluation.identify(items, evaluation.parse(r"(?P<person>\w+)/(?P<camera>1)"))
    assert [(one.person, one.camera) for one in named] == [("anna", "1"), ("bert", "1")]
    assert unnamed == ["anna/2.png"]
    (tmp_path / "msmt").mkdir()
    draw(tmp_path / "msmt/0000_000_01_0303morning_0008_0.jpg", 1, 1)
    (item,) = find(tmp_path / "msmt")
    assert evaluation.parse("msmt17").identify(item) == ("0", "01")
    for wrong in ("(", r"(\d+)"):
        with pytest.raises(ModelProblem, match="person"):
            evaluation.parse(wrong)
    with pytest.raises(ModelProblem, match="--names market1501"):
        evaluation.guess(find(tmp_path / "msmt"))


def test_what_cannot_be_evaluated_is_one_sentence(reid: Explainer, tmp_path: Path) -> None:
    draw(tmp_path / "a/1_1.png", 1, 1)
    draw(tmp_path / "b/2_1.png", 2, 1)
    with pytest.raises(ModelProblem, match="person is in the gallery"):
        evaluate(reid, tmp_path / "a", tmp_path / "b", names=r"^(?P<person>\d)")
    with pytest.raises(ModelProblem, match="No name in the queries fits"):
        evaluate(reid, tmp_path / "a", tmp_path / "b", names=r"(?P<person>x)")
    with pytest.raises(ModelProblem, match="gives no embedding"):
        evaluate(Explainer("demo-s"), tmp_path / "a", tmp_path / "a", names=r"(?P<person>\d)")


def test_a_gallery_of_one_person_tells_nothing(
    reid: Explainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        draw(tmp_path / f"1_{number}.png", 1, number)
    with pytest.raises(ModelProblem, match=r"shows one person, so every answer is right.*add pictures of other"):
        evaluate(reid, tmp_path, tmp_path, names="prefix")
    call = ["similarity", str(tmp_path), "--gallery", str(tmp_path), "--model", "demo-reid", "--names", "prefix"]
    assert main([*call, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert "shows one person" in said.err and "%" not in said.out
    # A second person among those searched can be taken for the first.
    draw(tmp_path / "2_0.png", 2, 0)
    assert 0 < evaluate(reid, tmp_path, tmp_path).mean_ap <= 1


def test_the_command_writes_the_numbers_and_a_row_per_query(
    market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["similarity", str(market / "query"), "--gallery", str(market / "gallery"), "--names", "market1501"]
    call += ["--model", "demo-reid", "--top", "2", "--out", str(tmp_path)]
    assert main([*call, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said["rank"]) == {"1", "5", "10"}
    assert said["files"] == ["report.json", "queries.csv"]
    assert json.loads((tmp_path / "report.json").read_text())["mAP"] == said["mAP"]
    assert len((tmp_path / "queries.csv").read_text().splitlines()) == 7
    assert main([*call[:3], str(market / "query"), *call[4:], "--names", r"^(?P<person>\d+)"]) == 2
    assert "person is in the gallery" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.png", "b.png", "--names", "market1501"], "needs a folder of queries"),
        (["a.png", "--gallery", ".", "--method", "all"], "name one method"),
    ],
)
def test_wrong_use_of_the_command_is_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["similarity", *arguments]) == 2
    assert words in capsys.readouterr().err
