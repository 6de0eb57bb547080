"""Users' checkpoints for torchvision, timm or own networks."""
