"""The Watch page and the parts that only it uses."""
