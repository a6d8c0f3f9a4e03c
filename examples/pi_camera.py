"""Say what a camera sees, a line whenever that changes.

    python pi_camera.py MODEL                     the camera of a Raspberry Pi, by picamera2; without it camera 0, by OpenCV
    python pi_camera.py MODEL --source clip.avi   a clip, or the number of a camera, by OpenCV
    python pi_camera.py MODEL --frames 100        stop after 100 frames; Ctrl-C stops at any time
    python pi_camera.py MODEL --detect            MODEL is a detector: how many things of what kind, and frames per second
    python pi_camera.py MODEL --detect --window   also a window with the boxes; it needs a screen and opencv-python

MODEL is a .tflite file of `larqnets convert`, the folder of a converted run, or the name of a shipped model. picamera2 is a
Debian package (sudo apt install python3-picamera2; make the environment with --system-site-packages), and its branch here
was not tried on hardware. OpenCV: pip install "opencv-python-headless==4.11.0.86", which has no windows, or
"opencv-python==4.11.0.86", which has; newer ones need numpy 2.
"""

import argparse
import itertools
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from larqnets import Classifier, Detector, LarqnetsError

WINDOW = "larqnets"


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


class Labels:
    """Says which label the classifier gives a frame."""

    def __init__(self, model: str) -> None:
        self.network = Classifier(model)

    def look(self, frame: np.ndarray) -> tuple[str, str]:
        """Return what is seen, and the same in words."""
        best = self.network.classify(frame, top=1)[0]
        return best["label"], f"{best['label']} {best['probability']:.2%}"


class Boxes:
    """Says how many things the detector finds in a frame, and how many frames a second it had lately."""

    def __init__(self, model: str, score: float | None, window: bool) -> None:
        self.network = Detector(model, score=score)
        self._window, self._times = window, deque([time.monotonic()], maxlen=30)

    def look(self, frame: np.ndarray) -> tuple[str, str]:
        """Return what is seen, and the same in words with the frames per second."""
        found = self.network(frame)
        self._times.append(time.monotonic())
        rate = f"{(len(self._times) - 1) / max(1e-9, self._times[-1] - self._times[0]):.1f} frames per second"
        if self._window:
            show(found.drawn(), rate)
        seen = ", ".join(f"{label} ({count})" for label, count in found.counts().items()) or "nothing"
        return seen, f"{seen}, {rate}"


def show(picture: Image.Image, words: str) -> None:
    """Show a picture in a window, with words in its upper left corner."""
    import cv2

    pixels = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR)
    for color, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(pixels, words, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, color, thickness, cv2.LINE_AA)
    try:
        cv2.imshow(WINDOW, pixels)
        cv2.waitKey(1)  # it is drawn now
    except cv2.error:
        raise SystemExit(
            "This OpenCV shows no windows, or there is no screen. Leave --window out, or install opencv-python in the place of "
            "opencv-python-headless."
        ) from None


def main() -> int:
    parser = argparse.ArgumentParser(description="Say what a camera sees, a line whenever that changes.")
    parser.add_argument("model")
    parser.add_argument("--source", help="a clip, or the number of a camera")
    parser.add_argument("--frames", type=int, help="stop after so many")
    parser.add_argument("--detect", action="store_true", help="the model is a detector")
    parser.add_argument("--score", type=float, help="the lowest score of what a detector tells, by default its file's")
    parser.add_argument("--window", action="store_true", help="show what a detector finds")
    arguments = parser.parse_args()
    if not arguments.detect and (arguments.score is not None or arguments.window):
        parser.error("--score and --window belong to --detect")
    try:
        looking = (
            Boxes(arguments.model, arguments.score, arguments.window) if arguments.detect else Labels(arguments.model)
        )
    except LarqnetsError as error:
        print(error, file=sys.stderr)
        return 1
    print(looking.network)
    seen, number = None, 0
    try:
        for number, frame in enumerate(itertools.islice(frames(arguments.source), arguments.frames), 1):
            now, words = looking.look(frame)
            if now != seen:
                seen = now
                print(f"frame {number}: {words}", flush=True)
    except KeyboardInterrupt:
        pass
    print(f"{number} frames")
    return 0 if number else 1


if __name__ == "__main__":
    sys.exit(main())
