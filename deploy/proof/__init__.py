"""Proof that a file computes on its engine what it should: `engines` of one file, `op_sweep` of XNNPACK's ops."""
