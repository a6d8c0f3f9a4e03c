"""int8 for what stays real-valued in a network with 1-bit convolutions: ranges, which ops, and the file rewritten."""
