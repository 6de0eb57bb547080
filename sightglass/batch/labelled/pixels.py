"""The file that says how a run's segmentations fit their masks."""

from __future__ import annotations

from sightglass.evaluation.kinds import KINDS

FILE = KINDS["areas"].file
"""Beside the table: one row a picture, with its mask's problem or its pairs of classes."""
