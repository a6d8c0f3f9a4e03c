"""Keras layers that the papers add, one noun per file; each is registered with Keras by being here."""

from larqnets.registry import import_folder

import_folder(__name__, __path__)
