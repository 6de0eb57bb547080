"""The page Live in a real browser with a fake camera: frames a second, delay, memory, and two viewers at once."""
