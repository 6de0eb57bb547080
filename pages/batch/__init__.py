"""The Batch page and the parts that only it uses."""
