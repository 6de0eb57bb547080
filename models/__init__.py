"""Catalogue, weights, preprocessing and adapters of every model."""
