"""From a checkpoint to a file that a device can run: convert, inspect, verify, and run it here."""
