"""Let a person choose: picture, model, method, layers, class, boxes."""
