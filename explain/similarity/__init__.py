"""Explain how alike two pictures are to a model, and rank a gallery."""
