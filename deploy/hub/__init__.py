"""A converted run as a model folder that others can take from a hub."""
