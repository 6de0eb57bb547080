"""Which labelled pictures are shown before a run."""

from PIL import Image

from sightglass.batch import label_examples
from sightglass.evaluation.ground_truth import GroundTruth
from sightglass.explain.picture.source import find
from tests.corpus import pixels


def test_first_middle_and_last_labelled_picture_are_shown_and_none_of_an_unclear_label(tmp_path):
    for key in ("a/1.png", "b/1.png", "a/2.png", "a/3.png", "a/4.png", "a/5.png"):
        path = tmp_path / key
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels()).save(path)
    items = find(str(tmp_path))
    labels = {"1.png": "cat", "a/2.png": "dog", "a/3.png": "cat", "a/4.png": "dog", "a/5.png": "cat"}
    shown = label_examples.show(GroundTruth({}, (), labels), items, ("cat", "dog"), {})
    words = [example.words for example in shown.examples]
    assert words == ["a/2.png: dog", "a/4.png: dog", "a/5.png: cat"]
