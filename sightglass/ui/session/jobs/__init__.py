"""Work in threads: explain, prove, wait, stop."""
