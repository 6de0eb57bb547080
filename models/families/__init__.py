"""Model families, each with the `load` of its adapter."""
