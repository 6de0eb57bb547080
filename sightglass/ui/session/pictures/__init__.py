"""Choose pictures: bundled, uploaded, recently used."""
