"""Addresses of the files that pages show."""

from __future__ import annotations

import pytest
from streamlit import net_util
from streamlit.runtime import memory_media_file_storage
from streamlit.runtime.media_file_storage import MediaFileKind
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.pages_manager import PagesManager

from sightglass.components import streamlit_internals

MARGIN = bytes(1_200_000)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> MemoryMediaFileStorage:
    restored = (
        (memory_media_file_storage, "_calculate_file_id"),
        (net_util, "get_external_ip"),
        (PagesManager, "uses_pages_directory"),
    )
    for owner, name in restored:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    streamlit_internals.prepare_server()
    return MemoryMediaFileStorage("/media")


def test_two_large_files_that_differ_in_a_few_places_are_two(files: MemoryMediaFileStorage) -> None:
    whose = {name: MARGIN[:300_000] + name + MARGIN for name in (b"Anna's map", b"Ben's map.")}
    ids = [files.load_and_get_id(data, "image/png", MediaFileKind.MEDIA, "map.png") for data in whose.values()]
    assert [files.get_file(id_).content for id_ in ids] == list(whose.values())
    again = files.load_and_get_id(whose[b"Ben's map."], "image/png", MediaFileKind.MEDIA, "map.png")
    assert again == ids[1]
    assert files.load_and_get_id(whose[b"Ben's map."], "image/png", MediaFileKind.MEDIA, "other.png") != again


def test_who_has_a_file_cannot_work_out_its_address(
    files: MemoryMediaFileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = files.load_and_get_id(b"a picture", "image/png", MediaFileKind.MEDIA)
    # Of another process.
    monkeypatch.setattr(streamlit_internals, "_KEY", bytes(32))
    assert files.load_and_get_id(b"a picture", "image/png", MediaFileKind.MEDIA) != here
