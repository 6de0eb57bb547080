"""See to it that the browser tests have a Chromium: one that is here, else Playwright's own, else Debian's."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REASON = "no Chromium is here and none could be installed"


def find() -> str | None:
    """Path of a browser that Playwright can drive, or None."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as play:
            path = play.chromium.executable_path
    except Exception:
        return None
    return path if Path(path).exists() else None


def provide() -> str | None:
    """`find`, after installing one where there is none; returns None where that is not possible."""
    tries = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and os.geteuid() == 0:
        tries += [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]]
    for command in tries:
        if find() is None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(command, timeout=600, check=False)
    return find()


if __name__ == "__main__":
    found = provide()
    print(f"browser: {found}" if found else f"browser tests will be skipped: {REASON}")
