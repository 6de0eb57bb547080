"""Evidence pack: a labelled run as slides, PDF, page and tables."""
