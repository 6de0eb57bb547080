"""Checkpoints for torchvision or timm architectures, or for a network of the user's own."""
