"""The Explore page and its views."""
