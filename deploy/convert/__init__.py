"""From a trained run or a Keras file to a folder of files that are proven and listed in a manifest."""
