"""Train and evaluate the packaged demo models; not installed."""
