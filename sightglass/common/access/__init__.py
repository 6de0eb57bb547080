"""Authentication: people, roles, passwords, tokens, rate limits."""
