"""The Pictures page and the parts that only it uses."""
