"""Errors: where a model goes wrong on labelled pictures, and why."""
