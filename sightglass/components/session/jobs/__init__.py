"""Work in threads: explain, prove, monitor, wait, stop."""
