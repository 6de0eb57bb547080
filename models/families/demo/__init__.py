"""Packaged demo models: networks and loader."""
