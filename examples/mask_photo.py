"""Say how much of a picture each class has, and draw the classes over it.

    python mask_photo.py MODEL PICTURE OUTPUT.png

MODEL is a .tflite file of `larqnets convert` that gives every pixel a class, or the folder of a converted run. Needs no
TensorFlow on a board with the ARM64 runtime.
"""

import argparse
import sys
from pathlib import Path

from larqnets import LarqnetsError, Segmenter


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Say how much of a picture each class has, and draw the classes over it."
    )
    parser.add_argument("model")
    parser.add_argument("picture", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    try:
        segmenter = Segmenter(arguments.model)
        found = segmenter(arguments.picture)
    except LarqnetsError as error:  # says which file, why, and what to do
        print(error, file=sys.stderr)
        return 1
    print(segmenter)
    for each in found.shares:
        pixels = (found.mask == each["class"]).sum()
        print(f"{each['share']:8.2%}  {each['label']}  {pixels} pixels")
    found.overlay().save(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
