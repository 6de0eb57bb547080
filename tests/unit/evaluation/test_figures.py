"""Charts show the numbers of the evaluation, and a mark of each stands for exactly its pictures."""

from sightglass.evaluation import figures
from sightglass.evaluation.figures import ModelPoint
from sightglass.explain.phrases import NBSP


def test_sizes_and_times_are_drawn_with_their_overlap_in_words() -> None:
    models = [
        ModelPoint("small", 12.0, 2.0, 1.0),
        ModelPoint("a <b>", 30.0, 5.0, 0.5),
        ModelPoint("other", 40.0, 8.0, None),
        ModelPoint("untimed", None, 9.0, 0.2),
    ]
    (points,) = figures.size_and_time_figure(models).data
    assert (points.x, points.y) == ((2.0, 5.0, 8.0), (12.0, 30.0, 40.0))
    assert points.text == (f"small<br>overlap 100{NBSP}%", f"a &lt;b&gt;<br>overlap 50{NBSP}%", "other")
    assert points.marker.size == (40.0, 26.0, 12.0)
    assert points.marker.symbol == ("circle", "circle", "circle-open")
    assert figures.describe_untimed(models).endswith("no time is measured: untimed.")
    assert not figures.describe_untimed(models[:3])
    assert len(figures.size_and_time_figure([]).data) == 1
