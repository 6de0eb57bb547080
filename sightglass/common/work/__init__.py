"""Progress, fair queues and graceful shutdown."""
