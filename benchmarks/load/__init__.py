"""Load-test the whole server: dashboard sessions and API clients together."""
