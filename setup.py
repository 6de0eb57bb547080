"""Install one package, sightglass: links in it lead to the folders beside it."""

import re
import sys
from pathlib import Path

from setuptools import find_packages, setup

DATA = (
    "*.css",
    "*.js",
    "*.html",
    "*.webp",
    "*.jpg",
    "*.json",
    "*.toml",
    "*.pptx",
    "weights/*",
    "drawn/*",
    "thumbnails/*",
    "vendor/*",
    "py.typed",
)
DASHBOARD = "sightglass.dashboard"


def describe() -> str:
    """Return README.md for an index of packages, where no file is beside it: relative links become plain text."""
    text = re.sub(r"(?m)^!\[.*?\]\((?!https?://).*?\)\n+", "", Path(__file__).with_name("README.md").read_text("utf-8"))
    return re.sub(r"\[([^\]]*)\]\((?!https?://)[^)]*\)", r"\1", text)


if not Path(__file__).with_name("sightglass").joinpath("explain").is_dir():
    sys.exit(
        "This checkout has no symbolic links, of which the package is made: git config core.symlinks true, then check "
        "it out again. streamlit run dashboard.py works without."
    )
packages = [*find_packages(include=["sightglass", "sightglass.*"]), DASHBOARD]
setup(
    long_description=describe(),
    long_description_content_type="text/markdown",
    packages=packages,
    # Without it an editable installation is code that finds modules, which editors cannot read.
    package_dir={"": "."},
    # Streamlit reads the theme from beside the script, and the script its icons.
    package_data={name: [*DATA] for name in packages}
    | {DASHBOARD: [".streamlit/config.toml", "assets/*"], "sightglass.examples": ["**/*"]},
)
