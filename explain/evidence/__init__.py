"""Run a model once and hold what every map needs: activations, outputs, gradients."""
