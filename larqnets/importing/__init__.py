"""Networks that others trained, brought in with their weights."""
