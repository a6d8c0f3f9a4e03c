"""A folder with a manifest: what is ours is replaced and removed, everything else stays, whoever dies in between."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorder import Recorder

from larqnets.errors import LarqnetsError
from larqnets.manifest import MANIFEST, check_free, publish


def document(files: dict[str, bytes], **more: object) -> dict:
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return {"larqnets": "0", **more, "files": {name: {"file": name, "sha256": s} for name, s in sums.items()}}


def put(folder: Path, files: dict[str, bytes], **more: object) -> list[str]:
    return publish(folder, files, document(files, **more))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


FIRST = {"binary.tflite": b"1", "float.tflite": b"2", "LICENSES/OURS": b"3"}
FOREIGN = {"notes.txt": b"mine", "int8.tflite": b"mine", ".writing-x/y": b"mine", "LICENSES/MINE": b"mine"}


def test_a_later_one_leaves_what_is_not_its_own(tmp_path):
    for name, content in FOREIGN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert put(tmp_path, FIRST) == []
    (tmp_path / "float.tflite").write_bytes(b"changed by its user")
    assert put(tmp_path, {"binary.tflite": b"4"}) == []
    left = contents(tmp_path)
    assert json.loads(left.pop(MANIFEST))["files"].keys() == {"binary.tflite"}
    assert left == FOREIGN | {"binary.tflite": b"4", "float.tflite": b"changed by its user"}


def test_two_manifests_in_a_folder_leave_each_other_alone(tmp_path):
    one, two = {"one.tflite": b"1", "one.txt": b"2"}, {"two.tflite": b"3"}
    for named, files in (("one.json", one), ("two.json", two), ("two.json", two), ("one.json", {"one.tflite": b"4"})):
        assert publish(tmp_path, files, document(files), named=named) == []
    left = contents(tmp_path)
    assert json.loads(left.pop("one.json"))["files"].keys() == {"one.tflite"}
    assert json.loads(left.pop("two.json"))["files"].keys() == {"two.tflite"}
    assert left == {"one.tflite": b"4", **two}
    with pytest.raises(LarqnetsError, match=r"two\.tflite is there and was not written by this command"):
        publish(tmp_path, two, document(two), named="one.json")
    check_free(tmp_path, ["two.tflite"], named="two.json")


def test_a_listed_file_that_was_changed_is_kept_beside(tmp_path):
    put(tmp_path, FIRST)
    for number, word in ((1, "kept"), (2, "kept-2")):
        (tmp_path / "binary.tflite").write_bytes(b"changed %d" % number)
        said = put(tmp_path, FIRST)
        assert said == [
            f"{tmp_path}/binary.tflite was not the file that the manifest listed, somebody changed it; it is kept as "
            f"binary.tflite.{word}."
        ]
        assert (tmp_path / f"binary.tflite.{word}").read_bytes() == b"changed %d" % number
        assert (tmp_path / "binary.tflite").read_bytes() == b"1"


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "folder"])
@pytest.mark.parametrize("name", ["binary.tflite", MANIFEST])
def test_a_name_that_somebody_else_has_is_refused(tmp_path, name, kind):
    place, victim = tmp_path / "out" / name, tmp_path / "victim"
    place.parent.mkdir()
    victim.write_text("mine")
    if kind == "file":
        place.write_text("mine")
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to(victim if kind == "link" else tmp_path / "nowhere")
    before = place.lstat()
    for refuse in (lambda: put(place.parent, FIRST), lambda: check_free(place.parent, FIRST)):
        with pytest.raises(LarqnetsError, match=rf"{name} is there and was not written by this|{name}: Is a directory"):
            refuse()
    assert place.lstat().st_ino == before.st_ino
    assert [p.name for p in place.parent.iterdir()] == [name]
    assert victim.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/LICENSES").symlink_to(tmp_path / "theirs")
    with pytest.raises(LarqnetsError, match="LICENSES/OURS is there and was not written"):
        put(tmp_path / "out", FIRST)
    assert list((tmp_path / "theirs").iterdir()) == []


HOSTILE = [
    *(
        "../victim",
        "../../victim",
        "/victim",
        "./victim",
        "a//b",
        "..",
        ".",
        "",
        "a/b/c",
        "a\0b",
        "\ud800",
        "~",
        MANIFEST,
    ),
    *("link", "linked/victim", "x" * 300, "sub"),
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("shape", ["name", "entry"])
def test_a_hostile_manifest_does_no_harm(tmp_path, name, shape):
    out = tmp_path / "a/out"
    (out / "sub").mkdir(parents=True)
    (tmp_path / "theirs").mkdir()
    victims = [tmp_path / "victim", tmp_path / "a/victim", tmp_path / "theirs/victim"]
    for victim in victims:
        victim.write_bytes(b"mine")
    (out / "link").symlink_to(victims[0])
    (out / "linked").symlink_to(tmp_path / "theirs")
    own = hashlib.sha256(b"mine").hexdigest()
    name = str(tmp_path / "victim") if name == "/victim" else name
    files = {name: own} if shape == "name" else {"x": {"file": name, "sha256": own}}
    (out / MANIFEST).write_text(json.dumps({"larqnets": "0", "files": files}))
    written = tried(out)
    assert [victim.read_bytes() for victim in victims] == [b"mine"] * 3
    assert {p.name for p in out.iterdir()} - written == {MANIFEST, "link", "linked", "sub"}


def tried(folder: Path) -> set[str]:
    """Publish one file; returns its name, nothing when the manifest that is there is refused."""
    try:
        put(folder, {"binary.tflite": b"1"})
    except LarqnetsError as error:
        if "was not written by this command" not in str(error):
            raise
        return set()
    return {"binary.tflite"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"files": {}}', '{"larqnets": "0", "files": 3}', '{"larqnets": "0", "files": []}', "\xff"),
        *("[" * 100_000, '{"larqnets": "0", "files": ' + '{"a":' * 100_000, "1" * 10_000),
    ],
    ids=lambda text: text[:30],
)
def test_what_is_no_manifest_of_ours_is_refused(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(LarqnetsError, match="was not written by this command"):
        put(tmp_path, FIRST)
    assert contents(tmp_path) == {MANIFEST: text.encode("latin-1")}


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(HOSTILE),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(HOSTILE), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.text() | st.sampled_from(HOSTILE), _values, max_size=4))
def test_no_manifest_makes_it_stumble(tmp_path_factory, files):
    out = tmp_path_factory.mktemp("out")
    (out / "mine").write_bytes(b"mine")
    (out / MANIFEST).write_text(json.dumps({"larqnets": "0", "files": files}))
    tried(out)
    assert (out / "mine").read_bytes() == b"mine"


def test_a_manifest_that_is_a_fifo_is_refused(tmp_path):
    os.mkfifo(tmp_path / MANIFEST)
    with pytest.raises(LarqnetsError, match="was not written by this command"):
        put(tmp_path, FIRST)


PUBLISH = (
    "import sys, json; from pathlib import Path; from larqnets.manifest import publish\n"
    "files = {n: c.encode() for n, c in json.loads(sys.argv[2]).items()}\n"
    "print(publish(Path(sys.argv[1]), files, json.loads(sys.argv[3])))"
)


def process(folder: Path, files: dict[str, bytes], before: str = "") -> subprocess.Popen:
    texts = {name: content.decode() for name, content in files.items()}
    command = [sys.executable, "-c", before + PUBLISH, str(folder), json.dumps(texts), json.dumps(document(files))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


SECOND = {"binary.tflite": b"5", "int8.tflite": b"6", "LICENSES/OURS": b"7"}


@pytest.mark.parametrize("earlier", [None, FIRST])
@pytest.mark.parametrize("moment", range(1, 12))
def test_killed_at_any_moment_the_next_one_goes_on(tmp_path, earlier, moment):
    if earlier is not None:
        put(tmp_path, earlier)
    (tmp_path / "mine").write_bytes(b"mine")
    killer = (
        "import os, signal\nleft = " + str(moment) + "\n"
        "def counted(call):\n"
        "    def count(*a, **k):\n"
        "        global left; left -= 1\n"
        "        if left == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return call(*a, **k)\n"
        "    return count\n"
        "os.replace, os.unlink, os.mkdir = map(counted, (os.replace, os.unlink, os.mkdir))\n"
        "os.rename, os.rmdir = map(counted, (os.rename, os.rmdir))\n"
    )
    killed = process(tmp_path, SECOND, killer)
    assert killed.communicate()[1] == ""
    assert killed.returncode in (0, -signal.SIGKILL)
    assert put(tmp_path, SECOND) == []  # nothing of it is taken for somebody's
    left = contents(tmp_path)
    assert json.loads(left.pop(MANIFEST))["files"].keys() == SECOND.keys()
    assert left == SECOND | {"mine": b"mine"}


def test_two_processes_publish_one_after_the_other(tmp_path):
    """The first waits inside for the second to begin to wait."""
    hold = (
        "import sys, larqnets.manifest as m; move = m._move\n"
        "def wait(*a): print('inside', flush=True); sys.stdin.readline(); move(*a)\n"
        "m._move = wait\n"
    )
    texts = json.dumps({name: content.decode() for name, content in FIRST.items()})
    command = [sys.executable, "-c", hold + PUBLISH, str(tmp_path), texts, json.dumps(document(FIRST))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first:
        assert first.stdout.readline() == "inside\n"

        class GoOn(Recorder):
            def stage(self, name):
                super().stage(name)
                first.communicate("go on\n")

        publish(tmp_path, SECOND, document(SECOND), reporter=(recorder := GoOn()))
    (said,) = recorder.said
    assert f"(PID {first.pid}): waiting for it" in said
    left = contents(tmp_path)
    assert json.loads(left.pop(MANIFEST))["files"].keys() == SECOND.keys()
    assert left == SECOND
