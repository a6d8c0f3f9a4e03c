"""The nuclei that come with the package, images with masks, as a TFDS builder; README.txt has source and licence."""
