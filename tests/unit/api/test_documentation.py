"""The documentation's site builds, and every block of docs/api.md does what it says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs import site_links
from sightglass.api.app import create
from sightglass.cli import main
from tests.servers import listening


def test_site_builds_without_broken_links(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    # --quiet would hide the warnings from --strict, too.
    call = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    root = Path(site_links.__file__).parents[1]
    done = subprocess.run(call, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").exists()
    assert "- [tools.md](tools.html): give an assistant its tools (MCP)\n" in (tmp_path / "llms.txt").read_text("utf-8")


PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")
BLOCK = re.compile(r"(?<! -->\n)^```(?P<kind>sh|python|console)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
"""All but those that say why they are not run: the server that they start is here already."""


@pytest.mark.slow
def test_every_block_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("requests")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    blocks = [(found["kind"], found["text"]) for found in BLOCK.finditer(PAGE)]
    assert {kind for kind, _ in blocks} == {"console", "sh", "python"}
    shell = {"SIGHTGLASS_TOKEN": "", "PATH": "/usr/bin:/bin"}
    with listening(create()) as address:
        for kind, text in blocks:
            here = text.replace("http://127.0.0.1:8502", address)
            assert here != text or kind != "sh"
            if kind == "console":
                assert main(shlex.split(text.removeprefix("$ sightglass "))) == 0
            elif kind == "python":
                exec(compile(here, "docs/api.md", "exec"), namespace)
            elif shutil.which("curl"):
                subprocess.run(["bash", "-euc", here], check=True, env=shell)
    if shutil.which("curl"):
        assert json.loads(Path("answer.json").read_text())["model"] == "efficientnet-lite0"
        assert Path("map.png").read_bytes().startswith(b"\x89PNG")
