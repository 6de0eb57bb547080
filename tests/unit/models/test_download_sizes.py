"""How large a download is: said of every model that can be downloaded, and equal to what its library publishes."""

from __future__ import annotations

from sightglass.models import catalog
from sightglass.models.checkpoints import weights

PACKAGED = [spec for specs in catalog.families(packaged=True).values() for spec in specs]


def megabytes(nbytes: float) -> float:
    return float(f"{nbytes / 1e6:.3g}")


def test_every_download_says_how_large_it_is() -> None:
    assert [spec.id for spec in PACKAGED if weights.downloadable(spec) and not spec.megabytes] == []
    assert [spec.id for spec in PACKAGED if not weights.downloadable(spec) and spec.megabytes is not None] == []


def test_files_of_torchvision_have_the_sizes_that_it_publishes() -> None:
    from torchvision import models

    every = [one for name in models.list_models() for one in models.get_model_weights(name)]
    sizes = {one.url: megabytes(one.meta["_file_size"] * 2**20) for one in every}
    ours = {spec.weights.url: spec.megabytes for spec in PACKAGED if spec.loader.startswith("torchvision.")}
    assert ours == {url: sizes[url] for url in ours}
