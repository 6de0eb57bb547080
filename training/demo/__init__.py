"""Drawn scenes with known causes, on which the demo models were trained."""
