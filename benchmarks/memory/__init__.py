"""Memory over a long time, under one budget, and in a small place."""
