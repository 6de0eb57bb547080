"""Compute gradients at target layers."""
