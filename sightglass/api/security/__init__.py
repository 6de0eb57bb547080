"""Sign-in, identities, host names, security headers."""

LEGACY_ROUTES = ("/predict_with_gradcam", "/analyze_class")
"""They stand outside of /api, and are protected like it."""
