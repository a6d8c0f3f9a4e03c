"""A device double for adb: speaks adbd's protocol on loopback, runs what it is asked for in a guest (guest.py).

Own code, standard library only, from the protocol's description in the Android Open Source Project (protocol.txt, SYNC.TXT,
shell v2): packets CNXN, OPEN, OKAY, WRTE, CLSE with 24-byte headers; services shell,v2 and sync. Faults are attributes that
a test sets: no answer (offline), no trust (unauthorised), little space, a byte that arrives damaged, a pulled plug.
"""

import contextlib
import os
import queue
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

from guest import PHONE_MODEL, Guest

_VERSION, _MAXDATA = 0x01000001, 256 * 1024  # since this version checksums are not looked at
_PUBLIC_KEY = 3  # of AUTH's kinds
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)


class Adbd:
    """The daemon of one device; `port` of loopback is its place in the network."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.offline = False  # takes connections and says nothing
        self.unauthorized = False  # asks for a key that it never accepts
        self.space: int | None = None  # bytes that can still be written
        self.damage = ""  # files whose name holds this arrive with a changed byte
        self.unplug_after: int | None = None  # bytes of a push
        self._listener: socket.socket | None = None
        self._connections: set[_Connection] = set()
        self.port = 0
        self.plug()

    @property
    def serial(self) -> str:
        """As adb names a device in the network."""
        return f"127.0.0.1:{self.port}"

    def plug(self) -> None:
        """Take connections, at the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def unplug(self) -> None:
        """Break every connection and take no others; what ran for them gets a hang-up, as on a device."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            connection = _Connection(self, peer)
            self._connections.add(connection)
            threading.Thread(target=connection.serve, daemon=True).start()

    def gone(self, connection: "_Connection") -> None:
        """Forget a connection."""
        self._connections.discard(connection)


class _Connection:
    def __init__(self, device: Adbd, peer: socket.socket) -> None:
        self.device = device
        self._peer = peer
        self._sending = threading.Lock()
        self.streams: dict[int, _Stream] = {}
        self._next = 1

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        number = int.from_bytes(command, "little")
        header = struct.pack("<6I", number, first, second, len(data), sum(data), number ^ 0xFFFFFFFF)
        with self._sending:
            self._peer.sendall(header + data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        with contextlib.suppress(OSError), self._peer:
            while header := self._receive(24):
                command, first, second, length, _, _ = struct.unpack("<6I", header)
                self._packet(command.to_bytes(4, "little"), first, second, self._receive(length))
        for stream in list(self.streams.values()):
            stream.end()
        self.device.gone(self)

    def _receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self._peer.recv(length - len(data))
            if not more:
                return b""
            data += more
        return data

    def _packet(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if self.device.offline:
            return
        if command in (b"CNXN", b"AUTH"):
            if self.device.unauthorized:
                if (command, first) != (b"AUTH", _PUBLIC_KEY):  # for that one a person has to agree, who is not there
                    self.send(b"AUTH", 1, 0, os.urandom(20))
                return
            banner = f"device::ro.product.name=double;ro.product.model={PHONE_MODEL};ro.product.device=d;features=shell_v2,cmd"
            self.send(b"CNXN", _VERSION, _MAXDATA, banner.encode())
        elif command == b"OPEN":
            service = data.rstrip(b"\0").decode()
            kind = {"shell": _Shell, "sync:": _Sync}.get(service.split(",")[0] if service != "sync:" else service)
            if kind is None:
                self.send(b"CLSE", 0, first)
                return
            mine, self._next = self._next, self._next + 1
            self.streams[mine] = kind(self, mine, first, service)
            self.send(b"OKAY", mine, first)
            threading.Thread(target=self.streams[mine].run, daemon=True).start()
        elif command == b"WRTE":
            if (stream := self.streams.get(second)) is not None:
                stream.incoming.put(data)
                self.send(b"OKAY", second, first)
        elif command == b"OKAY":
            if (stream := self.streams.get(second)) is not None:
                stream.acknowledged.set()
        elif command == b"CLSE" and (stream := self.streams.get(second)) is not None:
            stream.end()


class _Stream:
    """A service for one OPEN. `incoming` holds what the client wrote, None at its end."""

    def __init__(self, connection: _Connection, mine: int, theirs: int, service: str) -> None:
        self.connection, self.mine, self.theirs, self.service = connection, mine, theirs, service
        self.incoming: queue.Queue[bytes | None] = queue.Queue()
        self.acknowledged = threading.Event()
        self._writing = threading.Lock()
        self._rest = b""
        self._ended = False

    def write(self, data: bytes) -> None:
        """Send, one packet in flight."""
        with self._writing:
            for start in range(0, len(data), _MAXDATA // 2):
                self.acknowledged.clear()
                self.connection.send(b"WRTE", self.mine, self.theirs, data[start : start + _MAXDATA // 2])
                self.acknowledged.wait()
                if self._ended:
                    raise OSError("closed")

    def read(self, length: int) -> bytes:
        """Return that many bytes; raises OSError at the end."""
        while len(self._rest) < length:
            data = self.incoming.get()
            if data is None:
                raise OSError("closed")
            self._rest += data
        result, self._rest = self._rest[:length], self._rest[length:]
        return result

    def run(self) -> None:
        with contextlib.suppress(OSError):
            self.serve()
            self.connection.send(b"CLSE", self.mine, self.theirs)
        self.connection.streams.pop(self.mine, None)

    def serve(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        self._ended = True
        self.incoming.put(None)
        self.acknowledged.set()


class _Shell(_Stream):
    """shell,v2: frames of id, length, data."""

    def serve(self) -> None:
        self._process = process = self.connection.device.guest.popen(self.service.partition(":")[2])
        feeding = threading.Thread(target=self._feed, daemon=True)
        feeding.start()
        readers = [
            threading.Thread(target=self._copy, args=(process.stdout, _STDOUT), daemon=True),
            threading.Thread(target=self._copy, args=(process.stderr, _STDERR), daemon=True),
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        self._frame(_EXIT, bytes([process.wait() & 0xFF]))

    def end(self) -> None:
        super().end()
        with contextlib.suppress(ProcessLookupError, AttributeError):
            os.killpg(self._process.pid, signal.SIGHUP)

    def _frame(self, kind: int, data: bytes) -> None:
        self.write(struct.pack("<BI", kind, len(data)) + data)

    def _copy(self, source, kind: int) -> None:
        with contextlib.suppress(OSError), source:
            while data := os.read(source.fileno(), 65536):
                self._frame(kind, data)

    def _feed(self) -> None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            while True:
                kind, length = struct.unpack("<BI", self.read(5))
                data = self.read(length)
                if kind == _STDIN:
                    self._process.stdin.write(data)
                    self._process.stdin.flush()
                elif kind == _CLOSE_STDIN:
                    self._process.stdin.close()


class _Sync(_Stream):
    """sync: STAT, SEND, RECV, QUIT, in the forms of version 1."""

    def serve(self) -> None:
        while True:
            request, length = struct.unpack("<4sI", self.read(8))
            name = self.read(length).decode()
            if request == b"QUIT":
                return
            if request == b"STAT":
                self._stat(name)
            elif request == b"SEND":
                self._receive(name)
            elif request == b"RECV":
                self._send(name)
            else:
                self._fail(f"unknown request {request!r}")

    def _stat(self, name: str) -> None:
        try:
            info = self._path(name).stat()
        except OSError:
            self.write(b"STAT" + bytes(12))
            return
        self.write(struct.pack("<4s3I", b"STAT", info.st_mode, info.st_size & 0xFFFFFFFF, int(info.st_mtime)))

    def _receive(self, name: str) -> None:
        device = self.connection.device
        path, _, mode = name.rpartition(",")
        content, reason = bytearray(), None
        while True:
            kind, length = struct.unpack("<4sI", self.read(8))
            if kind == b"DONE":
                break
            content += self.read(length)
            if device.unplug_after is not None and len(content) > device.unplug_after:
                device.unplug_after = None
                device.unplug()
                return
            if device.space is not None and len(content) > device.space:
                reason = "No space left on device"
        if device.damage and device.damage in path:
            content[0] ^= 1
        try:
            if reason is None:
                self._path(path).write_bytes(content)
                self._path(path).chmod(int(mode) & 0o777)
        except OSError as error:
            reason = error.strerror
        if reason is not None:
            self._fail(f"couldn't create file: {reason}")
            return
        if device.space is not None:
            device.space -= len(content)
        self.write(struct.pack("<4sI", b"OKAY", 0))

    def _send(self, name: str) -> None:
        try:
            content = self._path(name).read_bytes()
        except OSError as error:
            self._fail(f"couldn't open file: {error.strerror}")
            return
        for start in range(0, len(content), 65536):
            part = content[start : start + 65536]
            self.write(struct.pack("<4sI", b"DATA", len(part)) + part)
        self.write(struct.pack("<4sI", b"DONE", 0))

    def _fail(self, reason: str) -> None:
        self.write(struct.pack("<4sI", b"FAIL", len(reason)) + reason.encode())

    def _path(self, name: str) -> Path:
        return self.connection.device.guest.path(name)
