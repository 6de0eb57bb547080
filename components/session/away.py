"""Say how long the server keeps the session of a browser that is away."""

from __future__ import annotations

from streamlit import config

from common import small

SECONDS = 15
"""In a small place, of the two minutes of Streamlit's: a session holds what its page shows, with the model of it."""
OPTION = "server.disconnectedSessionTTL"


def forget_soon() -> None:
    """In a small place let such sessions go sooner, before the server starts; what an operator set wins."""
    if small.chosen() and not config.is_manually_set(OPTION):
        config.set_option(OPTION, SECONDS)
