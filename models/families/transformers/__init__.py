"""Models of Transformers: classifiers, embedders, segmentation networks, detectors."""
