"""A decomposed network as files: its integers in int8 weights, and packed by bit planes."""
