"""Say what a map cannot be trusted for, from measurements."""
