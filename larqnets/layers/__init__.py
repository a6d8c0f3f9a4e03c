"""Keras layers that the papers add, one noun per file."""
