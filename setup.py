"""What pyproject.toml cannot say: the dashboard's loose files go into one package, laid out as they are here."""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOMS = ("common", "models", "explain", "api", "cli", "components", "pages", "sightglass")
DATA = ("*.css", "*.js", "*.html", "*.webp", "*.json", "*.toml", "weights/*")
LOOSE = "sightglass.dashboard"


class Build(build_py):
    """Take of the folder of this file nothing but the dashboard's script."""

    def find_package_modules(self, package, package_dir):
        found = super().find_package_modules(package, package_dir)
        return [module for module in found if package != LOOSE or module[1] == "dashboard"]


packages = find_packages(include=[name for room in ROOMS for name in (room, f"{room}.*")])
setup(
    packages=[*packages, LOOSE],
    package_dir={LOOSE: "."},
    # Streamlit reads the theme from beside the script, and the script its icons.
    package_data={name: [*DATA] for name in packages} | {LOOSE: [".streamlit/config.toml", "assets/*"]},
    cmdclass={"build_py": Build},
)
