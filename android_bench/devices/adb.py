"""Android devices through the real `adb` client; ANDROID_SERIAL and the server's port are those of its environment."""

import re
import shutil
from pathlib import Path

from android_bench.devices.link import (
    OUTPUT_LIMIT,
    SHELL_PATIENCE_S,
    Bundle,
    Client,
    DeviceLostError,
    Output,
    framed,
    last_line,
    refused,
    send_patience_s,
    unframed,
)
from android_bench.record import Kind
from larqnets import processes
from larqnets.environment import ANDROID_SERIAL, DEVICE_FOLDER
from larqnets.errors import LarqnetsError, excerpt, printable

_CONNECT_S = 20.0  # the client starts its server, which looks for devices
_REMEDIES = {
    "unauthorized": "does not trust this computer yet. Unlock it and allow USB debugging when it asks",
    "authorizing": "is asking whether it may trust this computer. Unlock it and allow USB debugging",
    "offline": "is offline. Unplug it and plug it in again, or run `adb reconnect`",
    "no permissions": "may not be opened by this user. Install the udev rules (Debian: android-sdk-platform-tools-common)",
}


class Adb:
    """One Android device."""

    kind: Kind = "adb"
    bundle: Bundle = "android"
    launcher: tuple[str, ...] = ("./ld-linux-aarch64.so.1", "--library-path", ".")
    emulator: str | None = None

    def __init__(self, serial: str) -> None:
        self.address = serial
        self.name = f"adb:{serial}" if serial else "adb"
        self.folder = DEVICE_FOLDER.read() or "/data/local/tmp"
        self._client = Client()

    def open(self) -> None:
        """Choose the device when no serial was given, and see that it answers."""
        if ":" in self.address and states(self._client).get(self.address) in (None, "offline"):
            self._adb("disconnect", self.address)  # a device in the network, which the server may have given up
            self._adb("connect", self.address)
        found = states(self._client)
        self.address = _choose(self.address or ANDROID_SERIAL.read() or "", found)
        self.name = f"adb:{self.address}"

    def shell(self, script: str, timeout_s: float = SHELL_PATIENCE_S, limit: int = OUTPUT_LIMIT) -> Output:
        """See Link."""
        try:
            out, err, _ = self._adb("-s", self.address, "shell", framed(script), timeout_s=timeout_s, limit=limit)
        except TimeoutError as error:
            raise self._lost(f"no answer within {timeout_s:.0f} s") from error
        output = unframed(out)
        if output is None:
            raise self._lost(last_line(err, out))
        return output

    def send(self, content: bytes, path: str) -> None:
        """See Link."""
        with processes.temporary_folder() as folder:
            file = folder / "content"
            file.write_bytes(content)
            try:
                out, err, code = self._adb(
                    *("-s", self.address, "push", str(file), path), timeout_s=send_patience_s(len(content))
                )
            except TimeoutError as error:
                raise self._lost(f"sending {len(content):,} bytes took too long") from error
        if code != 0:
            reason = last_line(err, out).rpartition("': ")[2]
            if states(self._client).get(self.address) != "device":
                raise self._lost(reason)
            raise refused(self.name, path, reason.removeprefix("remote "), len(content))

    def abort(self) -> None:
        """See Link."""
        self._client.abort()

    def resume(self) -> None:
        """See Link."""
        self._client.resume()

    def close(self) -> None:
        """See Link; the adb server is the user's and stays."""

    def _adb(
        self, *arguments: str, timeout_s: float = _CONNECT_S, limit: int = OUTPUT_LIMIT
    ) -> tuple[bytes, bytes, int]:
        done = self._client.run([program(), *arguments], timeout_s, limit=limit)
        return done.stdout, done.stderr, done.returncode

    def _lost(self, reason: str) -> DeviceLostError:
        reason = reason.removeprefix("adb: ").removeprefix("error: ").rstrip(".")
        return DeviceLostError(f"The connection to {self.name} broke ({reason}). Plug the device in again.")


def program() -> str:
    """Return the adb client; raises LarqnetsError when there is none."""
    found = shutil.which("adb")
    if found is None:
        raise LarqnetsError("adb is not installed. Debian: apt-get install adb; elsewhere: Google's platform-tools.")
    return str(Path(found))


def states(client: Client) -> dict[str, str]:
    """Return serial -> state of every device that adb sees: device, unauthorized, offline, ..."""
    try:
        done = client.run([program(), "devices"], _CONNECT_S)
    except TimeoutError as error:
        raise LarqnetsError("adb does not answer. Restart its server: adb kill-server") from error
    if done.returncode != 0:
        raise LarqnetsError(f"adb failed: {last_line(done.stderr, done.stdout)}. Restart its server: adb kill-server")
    return parse_devices(printable(done.stdout.decode(errors="backslashreplace"), keep="\r\n\t"))


def parse_devices(text: str) -> dict[str, str]:
    """Return serial -> state from what `adb devices` prints."""
    return {serial: excerpt(state) for serial, state in re.findall(r"^([^*\s]\S*)\t(.+)$", text, re.MULTILINE)}


def _choose(serial: str, found: dict[str, str]) -> str:
    """Return the serial to use; raises LarqnetsError when it is not there, not one alone, or not ready."""
    if not serial:
        ready = [name for name, state in found.items() if state == "device"] or list(found)
        if len(ready) > 1:
            raise LarqnetsError(f"adb sees several devices: {', '.join(ready)}. Name one: --device adb:{ready[0]}.")
        if not ready:
            raise LarqnetsError(
                "adb sees no device. Plug one in and switch on USB debugging in its developer options; `adb devices` "
                "shows what it sees."
            )
        serial = ready[0]
    if serial not in found:
        others = f"adb sees {', '.join(found)}" if found else "adb sees none"
        raise LarqnetsError(f"There is no device {serial}: {others}. Plug it in, or name another one.")
    if (sentence := not_ready(serial, found[serial])) is not None:
        raise LarqnetsError(sentence)
    return serial


def not_ready(serial: str, state: str) -> str | None:
    """Return in one sentence what to do about a device in this state, None when it can be used."""
    if state == "device":
        return None
    for start, remedy in _REMEDIES.items():
        if state.startswith(start):
            return f"{serial} {remedy}."
    return f"{serial} is in the state '{state}'. Start Android on it."
