"""Explain received models in processes of their own."""
