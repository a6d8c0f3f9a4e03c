"""Say what a camera sees, a line whenever that changes.

    python pi_camera.py MODEL                     the camera of a Raspberry Pi, by picamera2; without it camera 0, by OpenCV
    python pi_camera.py MODEL --source clip.avi   a clip, or the number of a camera, by OpenCV
    python pi_camera.py MODEL --frames 100        stop after 100 frames; Ctrl-C stops at any time

MODEL is a .tflite file of `larqnets convert`, the folder of a converted run, or the name of a shipped model. picamera2 is a
Debian package (sudo apt install python3-picamera2; make the environment with --system-site-packages), and its branch here
was not tried on hardware. OpenCV: pip install "opencv-python-headless==4.11.0.86"; newer ones need numpy 2.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from larqnets import Classifier, LarqnetsError


def frames(source: str | None) -> Iterator[np.ndarray]:
    """Return pictures (H, W, 3) from where they are asked for, else from the Pi's camera, else from camera 0."""
    if source is not None:
        return opencv_frames(source)
    try:
        from picamera2 import Picamera2
    except ImportError:
        return opencv_frames("0")
    print("camera: picamera2 (not tried on hardware)")
    return pi_frames(Picamera2())


def pi_frames(camera: Any) -> Iterator[np.ndarray]:
    """Yield the pictures of the Pi's camera without end."""
    # libcamera names a format by its bytes from the last to the first: the arrays of this one are red, green, blue.
    camera.configure(camera.create_video_configuration(main={"format": "BGR888", "size": (640, 480)}))
    camera.start()
    try:
        while True:
            yield camera.capture_array("main")
    finally:
        camera.stop()


def opencv_frames(source: str) -> Iterator[np.ndarray]:
    """Yield the pictures of a camera by its number, or of a clip until it ends."""
    try:
        import cv2
    except ImportError:
        raise SystemExit(
            'There is neither picamera2 nor OpenCV: pip install "opencv-python-headless==4.11.0.86"'
        ) from None

    capture = cv2.VideoCapture(int(source) if source.isdecimal() else source)
    try:
        if not capture.isOpened():
            raise SystemExit(f"{source} is neither a camera nor a clip that can be opened. Check its number or path.")
        print(f"camera: {source} by OpenCV {cv2.__version__}")
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def main() -> int:
    parser = argparse.ArgumentParser(description="Say what a camera sees, a line whenever that changes.")
    parser.add_argument("model")
    parser.add_argument("--source", help="a clip, or the number of a camera")
    parser.add_argument("--frames", type=int, help="stop after so many")
    arguments = parser.parse_args()
    try:
        classifier = Classifier(arguments.model)
    except LarqnetsError as error:
        print(error, file=sys.stderr)
        return 1
    print(classifier)
    seen, number = None, 0
    try:
        for number, frame in enumerate(itertools.islice(frames(arguments.source), arguments.frames), 1):
            best = classifier.classify(frame, top=1)[0]
            if best["label"] != seen:
                seen = best["label"]
                print(f"frame {number}: {seen} {best['probability']:.2%}", flush=True)
    except KeyboardInterrupt:
        pass
    print(f"{number} frames")
    return 0 if number else 1


if __name__ == "__main__":
    sys.exit(main())
