"""Keep one visitor's state: URL, chosen picture, running explanation, saved results."""
