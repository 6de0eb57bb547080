"""What it costs to explain a clip."""
