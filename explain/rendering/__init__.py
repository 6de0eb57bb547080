"""Draw maps over pictures, with the same pixels as the viewer in the browser."""
