"""What is done to a whole network after its training: its kernels decomposed, its steps found, methods compared."""
