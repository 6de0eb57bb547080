"""Files of labels: how they are opened, which format they have, and how each format is read."""
