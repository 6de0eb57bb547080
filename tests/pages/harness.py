"""Names of Streamlit that are not public and that tests of pages need, each with its reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash


@contextmanager
def without_pages_folder() -> Iterator[None]:
    """Find no menu in the folder `pages`: AppTest looks for one at each run, the server is told by dashboard.py."""
    original = PagesManager.__init__

    def init(self: PagesManager, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        PagesManager.uses_pages_directory = False

    with patch.object(PagesManager, "__init__", init):
        yield


@contextmanager
def packages_read_once() -> Iterator[None]:
    """Read the metadata of installed packages once: each AppTest would, which is .4 s of a test."""
    manifests = manifest_scanner.scan_component_manifests()
    with patch.object(manifest_scanner, "scan_component_manifests", lambda: manifests):
        yield


def run_first(app: AppTest, page: str) -> None:
    """Run a page first of all; `switch_page` knows the addresses of pages only after a run."""
    if page:
        file = Path(page)
        app._page_hash = calc_hash(file.parent.name if file.stem == "page" else file.stem)
    app.run()
    # From here on the session is where a run left it.
    app._page_hash = ""


@contextmanager
def upload_managers() -> Iterator[list[MemoryUploadedFileManager]]:
    """Yield the managers of uploaded files that take one; no public name leads to what they hold."""
    managers, add = [], MemoryUploadedFileManager.add_file

    def add_file(self: MemoryUploadedFileManager, *given: Any) -> None:
        managers.append(self)
        add(self, *given)

    with patch.object(MemoryUploadedFileManager, "add_file", add_file):
        yield managers
