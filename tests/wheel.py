"""The wheel of this checkout, as a user installs it."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BESIDE = ("explain", "models", "pages")
LOOSE = ("dashboard.py", ".streamlit/config.toml", *(f"assets/{path.name}" for path in (ROOT / "assets").iterdir()))


def copy_sources(to: Path) -> None:
    """Copy what the package is made of, with its links."""
    for room in ("sightglass", *BESIDE, "assets", ".streamlit"):
        shutil.copytree(ROOT / room, to / room, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("requirements*.txt"), *(ROOT / name for name in LOOSE if "/" not in name)):
        shutil.copy(path, to)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, to)


def build(to: Path) -> Path:
    """Build it into a folder, without a network and without leaving anything in the checkout."""
    with tempfile.TemporaryDirectory() as source:
        copy_sources(Path(source))
        pip("wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", str(to), source)
    (file,) = to.glob("*.whl")
    return file


def pip(*arguments: str) -> None:
    """Run this environment's pip; raises AssertionError with what it printed."""
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
