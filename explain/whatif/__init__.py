"""Change a picture by hand, and say what that changes in a model's answer."""
