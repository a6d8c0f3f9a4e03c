"""From a trained model to a .tflite file: layers rebuilt and folded so that the converter knows every binary one."""
