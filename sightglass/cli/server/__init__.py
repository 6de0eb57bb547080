"""Verbs that run servers, and their settings."""
