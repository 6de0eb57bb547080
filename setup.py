"""Map the source folders into the one installed package, sightglass."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

BESIDE = ("explain", "models", "pages")
"""Rooms that stand beside the package in a checkout."""
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


class Build(build_py):
    """Take of the folder of this file nothing but the dashboard's script."""

    def find_package_modules(self, package, package_dir):
        found = super().find_package_modules(package, package_dir)
        return [module for module in found if package != DASHBOARD or module[1] == "dashboard"]


rooms = find_packages(include=[name for room in BESIDE for name in (room, f"{room}.*")])
packages = [*find_packages(include=["sightglass", "sightglass.*"]), *(f"sightglass.{name}" for name in rooms)]
setup(
    long_description=describe(),
    long_description_content_type="text/markdown",
    packages=[*packages, DASHBOARD],
    package_dir={f"sightglass.{room}": room for room in BESIDE} | {DASHBOARD: "."},
    # Streamlit reads the theme from beside the script, and the script its icons.
    package_data={name: [*DATA] for name in packages}
    | {DASHBOARD: [".streamlit/config.toml", "assets/*"], "sightglass.examples": ["**/*"]},
    cmdclass={"build_py": Build},
)
