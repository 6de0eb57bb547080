"""Known causes of methods that need more than activations and gradients."""
