"""Verbs that run servers, and their users and settings."""
