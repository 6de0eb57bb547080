"""The Present page and the parts that only it uses."""
