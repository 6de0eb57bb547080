"""Errors on labelled pictures: types, headline, thresholds, tiles."""
