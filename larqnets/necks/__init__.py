"""Necks: what stands between the stages of a backbone and heads that look at several maps."""
