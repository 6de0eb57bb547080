"""Compare explanations: several models on one picture, two pictures, two detectors."""
