"""Where a model goes wrong on labelled pictures: types of errors, a headline, thresholds, tiles."""
