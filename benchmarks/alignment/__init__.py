"""Measure where cells of a layer look, beside where it is drawn."""
