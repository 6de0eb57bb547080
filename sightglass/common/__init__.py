"""Errors, settings, files and other basics."""
