"""Import larqnets before any test module imports TensorFlow: it chooses Keras 2 for the process."""

import larqnets  # noqa: F401
