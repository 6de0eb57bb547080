"""Write files whole, name them, and find the user's data folder."""

from __future__ import annotations

from pathlib import Path


def data_folder(name: str) -> Path:
    """Return the folder of that name among this user's data of Sightglass; it need not exist yet."""
    import platformdirs

    return platformdirs.user_data_path("sightglass", appauthor=False) / name
