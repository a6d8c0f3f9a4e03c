"""Files of TensorFlow Lite read without TensorFlow and without trust."""
