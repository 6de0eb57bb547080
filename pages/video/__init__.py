"""The Video page and the parts that only it uses."""
