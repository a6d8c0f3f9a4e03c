"""Proof that an engine computes what it should: `arm64` of a conversion's files, `op_sweep` of ordinary ops."""
