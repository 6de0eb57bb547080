"""Measure where maps are right, on drawn scenes whose cause is known."""
