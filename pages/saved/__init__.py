"""The Saved page and the parts that only it uses."""
