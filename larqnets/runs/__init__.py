"""What commands open: run folders, checkpoints, Keras files of anybody, networks by name."""
