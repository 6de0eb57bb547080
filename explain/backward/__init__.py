"""Compute gradients at the target layers, for whole maps and for single boxes."""
