"""The History page and the parts that only it uses."""
