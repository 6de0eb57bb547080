"""Test a map: hide what it shows, or keep nothing else, and compare the model's answer with that for control maps."""
