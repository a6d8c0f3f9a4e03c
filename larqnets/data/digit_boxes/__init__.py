"""Pictures made of the digits that come with the package, with a box around each, as a TFDS builder."""
