"""Label the pictures of a folder, the surest first.

    python classify_folder.py MODEL FOLDER

MODEL is a .tflite file of `larqnets convert`, the folder of a converted run, or the name of a shipped model. Needs no
TensorFlow on a board with the ARM64 runtime.
"""

import argparse
import sys
from pathlib import Path

from larqnets import Classifier, LarqnetsError


def main() -> int:
    parser = argparse.ArgumentParser(description="Label the pictures of a folder, the surest first.")
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    try:
        classifier = Classifier(arguments.model)
    except LarqnetsError as error:
        print(error, file=sys.stderr)
        return 1
    print(classifier)
    labelled, unreadable = [], 0
    for path in sorted(path for path in arguments.folder.rglob("*") if path.is_file()):
        try:
            best = classifier.classify(path)[0]
        except LarqnetsError as error:  # says which file, why, and what to do
            print(error, file=sys.stderr)
            unreadable += 1
        else:
            labelled.append((best["probability"], best["label"], path))
    for probability, label, path in sorted(labelled, key=lambda row: -row[0]):
        print(f"{probability:8.2%}  {label}  {path}")
    print(f"{len(labelled)} pictures labelled, {unreadable} files left out")
    return 0 if labelled else 1


if __name__ == "__main__":
    sys.exit(main())
