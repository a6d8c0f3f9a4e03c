"""The handwritten digits that come with the package, as a TFDS builder; README.txt has source and licence."""
