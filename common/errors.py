"""What can go wrong through no fault of the code: each message is one sentence that says what to do."""

from __future__ import annotations


class Problem(ValueError):
    """Something a user can mend; its text is shown as it is, on a screen, in a terminal and over HTTP."""


class SettingProblem(Problem):
    """A variable of the environment is malformed."""


class ImageProblem(Problem):
    """The picture cannot be read, is too large, or is not a picture."""


class TooLarge(ImageProblem):
    """The picture has more bytes, pixels or numbers than are taken, or than there is memory for."""


class ModelProblem(Problem):
    """The model is unknown, or cannot do what was asked of it."""


class WeightsProblem(Problem):
    """The weights are nowhere to be had, or are not what they should be."""


class Cancelled(Exception):
    """The work was stopped because somebody asked for it."""
