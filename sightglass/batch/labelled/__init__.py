"""Runs with labels: how answers are held against them."""
