"""What keeps every door and every map right: an independent reference, laws of maps, and a table of options by door."""
