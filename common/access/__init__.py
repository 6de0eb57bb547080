"""Who gets in: ways to sign in, people and their roles, passwords, tokens, sessions, and how much each may ask."""
