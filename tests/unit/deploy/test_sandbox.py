"""The container's start script under the container's conditions: its user, its read-only root, its two volumes.

There is no Docker here: a mount namespace and chroot give the same, with the files that the Dockerfile copies.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from benchmarks.processes import free_port
from tests.servers import until
from tests.unit.deploy.test_container import copied, instructions
from tests.waits import patience

USER = int(dict(instructions())["USER"].partition(":")[0])
SANDBOX = Path(__file__).with_name("sandbox.sh")
KEY = "a-key-of-the-test"


def _possible() -> bool:
    if sys.platform != "linux" or os.geteuid() or not all(map(shutil.which, ("unshare", "chroot", "setpriv"))):
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _possible(), reason="needs root on Linux, with unshare, chroot and setpriv"),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The image's root, without what is mounted into it."""
    for path, target in copied():
        to = tmp_path / "root/app" / target
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, to)
    for name in ("data", "models"):
        (tmp_path / name).mkdir()
    os.chown(tmp_path / "data", USER, USER)
    # pytest's folders are for its user alone.
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    return tmp_path / "root"


def _inside(root: Path, *command: str) -> list[str]:
    beside = root.parent
    python = [str(Path(one).resolve()) for one in dict.fromkeys((sys.base_prefix, sys.prefix))]
    folders = [one for one in python if not one.startswith("/usr")]
    sandbox = ["unshare", "--mount", "--propagation", "private", str(SANDBOX), str(root), str(USER)]
    return [*sandbox, str(beside / "data"), str(beside / "models"), *folders, "--", *command]


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}


def test_the_start_script_serves_maps_and_saves_files_in_the_volume_and_nowhere_else(root: Path, bus: Path) -> None:
    before, data = _files(root), root.parent / "data"
    port = free_port()
    # As the image sets it; nothing of this process's own.
    environment = {"DATA": "/data", "MODELS": "/models", "PORT": str(port), "OMP_NUM_THREADS": "1"}
    environment |= {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin"}
    environment |= {"SIGHTGLASS_TOKEN": KEY, "SIGHTGLASS_SAVE_BELOW": "1"}
    command = _inside(root, "/app/scripts/start")
    address = f"http://127.0.0.1:{port}"
    with (root.parent / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def healthy() -> bool:
        """Ask the image's own health check."""
        assert server.poll() is None, (root.parent / "log").read_text("utf-8")
        done = subprocess.run(_inside(root, "/app/scripts/healthy"), env=environment, capture_output=True)
        return done.returncode == 0

    try:
        until(healthy, 120, lambda: (root.parent / "log").read_text("utf-8"))
        # Opened to the network it asks for the token.
        with httpx.Client(base_url=address, headers={"accept": "text/html"}, timeout=patience(60)) as client:
            assert 'name="token"' in client.get("/").text
            client.headers["x-api-key"] = KEY
            assert "<title>" in client.get("/").text
            answer = client.post("/api/explain", files={"image": (bus.name, bus.read_bytes())})
        assert answer.status_code == 200, (answer.text, (root.parent / "log").read_text("utf-8"))
        assert answer.json()["heatmaps"] and answer.json()["saved"] is not None
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    finally:
        server.kill()
        server.wait()
    command = _inside(root, "/app/scripts/start", "image", "bus.jpg", "--out", "explained")
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path.parts[0] for path in _files(data)} >= {"explained", "history"}
    assert {path.stat().st_uid for path in data.rglob("*")} == {USER}
    assert _files(root) == before
