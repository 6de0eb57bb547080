"""Evaluate detectors on labelled pictures."""
