"""One file or folder for each family of models, with the `load` that builds its adapter."""
