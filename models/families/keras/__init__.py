"""Keras 3 classifiers on its torch backend."""
