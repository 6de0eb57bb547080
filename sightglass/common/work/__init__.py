"""Progress, cancellation and thread pools of background work."""
