"""The programs in examples/, as a reader starts them."""

import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from box_files import box_file
from colours import PURE, colour_file, picture, pixel_file
from PIL import Image

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def start(monkeypatch, capfd, tmp_path):
    """Run `python EXAMPLE ARGUMENTS` in this process, which has TensorFlow already: exit code, stdout lines, stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.tflite").write_bytes(colour_file())

    def call(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        out, err = capfd.readouterr()
        return end.value.code, out.splitlines(), err

    return call


def test_every_example_has_a_test():
    """The notebook's is tests/docs/test_notebook.py, the Android project's tests/docs/test_android_app.py."""
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == ["classify_folder", "mask_photo", "pi_camera"]
    assert [path.name for path in EXAMPLES.glob("*.ipynb")] == ["first_network.ipynb"]


def test_the_readme_has_a_row_for_every_example():
    rows = re.findall(r"^\| \[(.+?)\]\(\1\) \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert rows == sorted(path.name for path in EXAMPLES.iterdir() if path.name not in ("README.md", "__pycache__"))


def test_classify_folder(start, tmp_path):
    (tmp_path / "photos" / "more").mkdir(parents=True)
    picture("blue").save(tmp_path / "photos" / "a.png")
    picture("red").save(tmp_path / "photos" / "more" / "b.png")
    (tmp_path / "photos" / "notes.txt").write_text("mine")
    code, lines, err = start("classify_folder", "model.tflite", "photos")
    assert code == 0
    assert [line.split()[1:] for line in lines[1:3]] == [["blue", "photos/a.png"], ["red", "photos/more/b.png"]]
    assert lines[3] == "2 pictures labelled, 1 files left out"
    assert "photos/notes.txt is not an image" in err
    assert start("classify_folder", "model.tflite", "none")[0] == 1
    code, lines, err = start("classify_folder", "absent.tflite", "photos")
    assert (code, lines) == (1, [])
    assert err.startswith("There is no file 'absent.tflite'.")


def test_mask_photo(start, tmp_path):
    (tmp_path / "pixels.tflite").write_bytes(pixel_file())
    shown = picture("green", (16, 12))
    shown.paste(picture("red", (4, 12)))
    shown.save(tmp_path / "x.png")
    code, lines, _ = start("mask_photo", "pixels.tflite", "x.png", "over.png")
    assert code == 0
    assert lines[0].startswith("<Segmenter pixels.tflite: 3 labels")
    assert [line.split() for line in lines[1:]] == [
        ["75.00%", "green", "144", "pixels"],
        ["25.00%", "red", "48", "pixels"],
    ]
    with Image.open(tmp_path / "over.png") as over:
        assert (over.size, over.getpixel((15, 0))) == ((16, 12), PURE["green"])
    code, lines, err = start("mask_photo", "model.tflite", "x.png", "over.png")
    assert (code, lines) == (1, [])
    assert err.startswith("model.tflite is no segmenter of images")


def write_clip(path, names, frames=3):
    """A clip of so many frames of every colour."""
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    assert writer.isOpened()
    for name in names:
        for _ in range(frames):
            writer.write(np.full((48, 64, 3), PURE[name][::-1], np.uint8))  # OpenCV takes blue, green, red
    writer.release()


def test_a_clip_is_seen_in_its_colours(start, tmp_path):
    write_clip(tmp_path / "clip.avi", ["red", "blue", "green", "blue"])
    code, lines, _ = start("pi_camera", "model.tflite", "--source", "clip.avi")
    assert code == 0
    assert lines[0].startswith("<Classifier model.tflite: 3 labels")
    assert lines[1].startswith("camera: clip.avi by OpenCV 4.11")
    seen = [line.split()[:3] for line in lines[2:-1]]
    assert seen == [["frame", f"{n}:", name] for n, name in ((1, "red"), (4, "blue"), (7, "green"), (10, "blue"))]
    assert lines[-1] == "12 frames"
    code, lines, _ = start("pi_camera", "model.tflite", "--source", "clip.avi", "--frames", 5)
    assert lines[-1] == "5 frames"


def pi_camera(monkeypatch, seen):
    """A double: the camera is hardware. Its formats are named as libcamera does it, by the bytes from last to first.

    It sees `seen`(height, width). Returns the cameras that are made.
    """
    made = []

    class Picamera2:
        def __init__(self):
            self.done = []
            made.append(self)

        def create_video_configuration(self, main):
            return main

        def configure(self, main):
            self.format, self.size = main["format"], main["size"]

        def start(self):
            self.done.append("start")

        def stop(self):
            self.done.append("stop")

        def capture_array(self, stream):
            assert stream == "main"
            width, height = self.size
            pixels = seen(height, width)
            return {"BGR888": pixels, "RGB888": pixels[..., ::-1]}[self.format]

    module = ModuleType("picamera2")
    module.Picamera2 = Picamera2
    monkeypatch.setitem(sys.modules, "picamera2", module)
    return made


def test_the_camera_of_a_pi_goes_first(start, monkeypatch):
    made = pi_camera(monkeypatch, lambda height, width: np.full((height, width, 3), PURE["red"], np.uint8))
    code, lines, _ = start("pi_camera", "model.tflite", "--frames", 2)
    assert code == 0
    assert lines[1] == "camera: picamera2 (not tried on hardware)"
    assert lines[2].startswith("frame 1: red")
    assert lines[3:] == ["2 frames"]
    assert made[0].done == ["start", "stop"]


def still(height, width):
    """Two red cells of the six of the detector, a green one, the rest grey."""
    pixels = np.full((height, width, 3), 120, np.uint8)
    for name, row, column in (("red", 0, 0), ("red", 1, 2), ("green", 1, 0)):
        pixels[row * height // 2 :, column * width // 3 :][: height // 2, : width // 3] = PURE[name]
    return pixels


def test_a_detector_says_how_many_things_there_are_and_how_fast_it_is(start, monkeypatch, tmp_path):
    (tmp_path / "boxes.tflite").write_bytes(box_file())
    made = pi_camera(monkeypatch, still)
    code, lines, _ = start("pi_camera", "boxes.tflite", "--detect", "--frames", 3)
    assert code == 0
    assert lines[0].startswith("<Detector boxes.tflite: 3 labels")
    assert re.fullmatch(r"frame 1: red \(2\), green \(1\), \d+\.\d frames per second", lines[2])
    assert lines[3:] == ["3 frames"]  # nothing changed
    assert made[0].done == ["start", "stop"]
    lines = start("pi_camera", "boxes.tflite", "--detect", "--score", 0.99, "--frames", 1)[1]
    assert lines[2].startswith("frame 1: nothing, ")


def test_a_window_shows_boxes_and_frames_per_second(start, monkeypatch, tmp_path):
    """A double of the window alone: there is no screen. Pixels are blue, green, red for OpenCV."""
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    (tmp_path / "boxes.tflite").write_bytes(box_file())
    pi_camera(monkeypatch, still)
    windows = []
    monkeypatch.setattr(cv2, "imshow", lambda name, pixels: windows.append(pixels))
    monkeypatch.setattr(cv2, "waitKey", lambda milliseconds: -1)
    assert start("pi_camera", "boxes.tflite", "--detect", "--window", "--frames", 2)[0] == 0
    assert len(windows) == 2
    changed = (windows[0][..., ::-1] != still(480, 640)).any(-1)
    assert changed[8:28, 8:200].any()  # the words
    assert changed[479, 430:640].all()  # the lower edge of a box


def test_without_a_screen_a_window_is_an_error(start, monkeypatch, tmp_path):
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    (tmp_path / "boxes.tflite").write_bytes(box_file())
    pi_camera(monkeypatch, still)

    def absent(*_):
        raise cv2.error("The function is not implemented.")  # as the headless build has it

    monkeypatch.setattr(cv2, "imshow", absent)
    code, lines, _ = start("pi_camera", "boxes.tflite", "--detect", "--window", "--frames", 1)
    assert "Leave --window out" in code
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["model.tflite", "--detect"], 1, "model.tflite is no detector of things in images"),
        (["boxes.tflite"], 1, "boxes.tflite is no classifier of images"),
        (["boxes.tflite", "--detect", "--score", 2], 1, "must lie between 0 and 1"),
        (["model.tflite", "--window"], 2, "--score and --window belong to --detect"),
    ],
)
def test_a_camera_needs_a_model_of_its_kind(start, tmp_path, arguments, code, sentence):
    (tmp_path / "boxes.tflite").write_bytes(box_file())
    ended, lines, err = start("pi_camera", *arguments)
    assert (ended, lines) == (code, [])
    assert sentence in err


@pytest.mark.parametrize("there", [True, False], ids=["opencv", "nothing"])
def test_where_there_is_no_camera(start, monkeypatch, there):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    if not there:
        monkeypatch.setitem(sys.modules, "cv2", None)
    code, lines, _ = start("pi_camera", "model.tflite", "--source", "absent.avi")
    assert len(lines) == 1
    assert ("neither a camera nor a clip" if there else 'pip install "opencv-python-headless==4.11.0.86"') in code
