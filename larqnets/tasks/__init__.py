"""What a network is trained for: loss and metrics as pure functions on logits."""
