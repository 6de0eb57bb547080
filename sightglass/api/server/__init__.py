"""Run the server: middleware, metrics, start and stop."""
