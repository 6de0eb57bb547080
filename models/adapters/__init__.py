"""Adapters that families share: classifiers, detectors, embedders."""
