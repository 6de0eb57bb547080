"""The modules of each component, joined, are one script that a browser reads."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sightglass.browser import join, modules
from tests.rooms import ROOT

IMPORT = re.compile(r'import (?:\{ \w+(?:, \w+)* \} from )?"(\.\.?/(?:(?:\w+|\.\.)/)*\w+\.js)";')
NODE = shutil.which("node")
PAGE = ROOT / "sightglass/ui/widgets/page.js"
"""What every page runs."""
JOINED = [path for room in ("sightglass/ui", "pages") for path in sorted((ROOT / room).rglob("*.js"))]
ENTRIES = [PAGE, *(path for path in JOINED if re.search("^export default", path.read_text("utf-8"), re.MULTILINE))]


@pytest.mark.parametrize("script", ENTRIES, ids=lambda path: path.stem)
def test_every_component_is_one_script(script: Path):
    for path in modules(script):
        imports = re.findall(r"^ *import\b.*", path.read_text("utf-8"), re.MULTILINE)
        # Their names are in one scope, and stay as they are.
        assert all(map(IMPORT.fullmatch, imports)), path
    if NODE:
        # What scripts and functions let pass, a function declared twice, is an error in a module.
        command = [NODE, "--check", "--input-type=module", "-"]
        assert subprocess.run(command, input=join(script), capture_output=True, text=True).stderr == ""


def test_the_script_of_every_page_passes_the_sanitiser():
    # DOMPurify leaves out an element whose text may hold another one.
    assert not re.search(r"<[/\w!]", join(PAGE))
