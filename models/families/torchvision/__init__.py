"""torchvision's classifiers and detectors."""
