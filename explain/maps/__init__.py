"""Turn a method's raw output into heatmaps, statistics and shares inside boxes."""
