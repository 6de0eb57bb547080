"""Explain how similar two pictures are to a model, rank a gallery, and evaluate re-identification."""
