"""Many runs or many repetitions: sweeps, comparisons, pictures of them, and the benches of the training step."""
