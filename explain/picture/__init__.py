"""Decode pictures from any source into pixel arrays, safely."""
