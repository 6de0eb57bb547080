"""Drawn scenes whose true cause is known, and the small models that are trained on them."""
