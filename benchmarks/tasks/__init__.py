"""Speed of maps of regions, queries and single pixels."""
