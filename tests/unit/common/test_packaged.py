"""Files that installed packages carry are found by name, and what is not there is None."""

from __future__ import annotations

from sightglass.common.files.packing import PHOTOGRAPHS, packaged_file, photograph, photographs


def test_every_photograph_is_found_by_its_name() -> None:
    assert list(photographs()) == list(PHOTOGRAPHS)
    assert all(photograph(name) == path and path.is_file() for name, path in photographs().items())


def test_a_package_or_a_file_that_is_not_there_is_none() -> None:
    assert packaged_file("no_such_package", "bus.jpg") is None
    assert packaged_file("ultralytics", "assets/no-such.jpg") is None
    assert packaged_file("ultralytics", "assets") is None
