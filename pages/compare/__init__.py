"""Compare: models on one picture, or two pictures."""
