"""Routes: read requests, answer them, describe them (OpenAPI)."""
