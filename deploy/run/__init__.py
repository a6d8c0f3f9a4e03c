"""A .tflite file here: engines, a process of its own for it, and what an image or an array gives."""
