"""What a device double shows of itself and runs: a folder with a made-up /proc, /sys and /data, and a shell that sees it.

Scripts are run by this machine's sh after the paths in them were put under the folder; commands that only a device has
(getprop, dumpsys, vcgencmd) or that would tell the truth (uname) are small scripts before the others in PATH; ARM64
programs run under qemu. As a program (`guest.py ROOT`) it is what a loopback sshd starts for every command.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

SYSROOT = "/usr/aarch64-linux-gnu"
_SEEN = re.compile(r"(?<![\w./}])/(?=(?:proc/(?!\$)|sys/|data/|etc/))")

PI_MODEL, PHONE_MODEL = "Raspberry Pi 9 Model Double", "Phone Double"
GETPROP = f"""[ro.build.version.release]: [13]
[ro.build.id]: [DOUBLE.1]
[ro.product.manufacturer]: [Loopback]
[ro.product.model]: [{PHONE_MODEL}]
[ro.soc.manufacturer]: [Loopback]
[ro.soc.model]: [L1]
"""
THERMALSERVICE = """IsStatusOverride: false
Thermal Status: {status}
Cached temperatures:
HAL Ready: true
Current temperatures from HAL:
\tTemperature{{mValue={degrees}, mType=0, mName=CPU0, mStatus=0}}
Current cooling devices from HAL:
"""
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  level: 80
  scale: 100
  temperature: 291
"""


class Guest:
    """The system of a double. Tests change what it answers while it runs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def make(cls, root: Path, *, android: bool) -> "Guest":
        """Lay out a phone or a Pi: the cores are this machine's, the last of them is the big one."""
        guest = cls(root)
        cores = sorted(os.sched_getaffinity(0))
        for folder in ("home", "data/local/tmp", "bin", "answers"):
            (root / folder).mkdir(parents=True)
        cpuinfo = ""
        for core in cores:
            big = core == cores[-1]
            cpuinfo += f"processor\t: {core}\nCPU implementer\t: 0x41\nCPU part\t: {'0xd0b' if big else '0xd05'}\n\n"
            khz = "2400000" if big else "1800000"
            for name in ("cpuinfo_max_freq", "scaling_max_freq", "scaling_cur_freq"):
                guest.write(f"sys/devices/system/cpu/cpu{core}/cpufreq/{name}", khz)
            guest.write(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", "schedutil")
        guest.write("proc/cpuinfo", cpuinfo)
        guest.write("sys/devices/system/cpu/online", ",".join(map(str, cores)))
        guest.write("proc/self/status", f"Name:\tgrep\nCpus_allowed:\t{_words(sum(1 << core for core in cores))}")
        guest.write("proc/self/exe", b"\x7fELF\x02\x01\x01")
        guest.write("proc/meminfo", "MemTotal:        4000000 kB\nMemAvailable:    3000000 kB")
        guest.write("proc/loadavg", "0.10 0.10 0.10 1/100 1000")
        guest.shim("uname", 'case "$1" in -s) echo Linux;; -r) echo 6.1.0-double;; -m) echo aarch64;; esac')
        guest.shim(
            "arm64",
            f'[ -x "$1" ] || {{ echo "sh: $1: Permission denied" >&2; exit 126; }}\n'
            f"[ ! -e {root}/oom ] || kill -9 $$\n"
            f'exec qemu-aarch64 -L {SYSROOT} -cpu cortex-a72 "$@"',
        )
        if android:
            guest.write("answers/getprop", GETPROP)
            guest.write("answers/dumpsys.battery", BATTERY)
            guest.write("answers/dumpsys.power", "  mWakefulness=Asleep")
            guest.shim("getprop", f"cat {root}/answers/getprop")
            guest.shim("dumpsys", f'cat "{root}/answers/dumpsys.$1"')
        else:
            guest.write("etc/os-release", 'PRETTY_NAME="Double GNU/Linux 12"')
            guest.write("proc/device-tree/model", f"{PI_MODEL}\0")
            guest.write("proc/device-tree/compatible", "raspberrypi,double\0brcm,bcm0000\0")
            guest.shim("getconf", "echo glibc 2.36")
            guest.shim("vcgencmd", f'cat "{root}/answers/vcgencmd.$1"')
            guest.write("answers/vcgencmd.get_throttled", "throttled=0x0")
        guest.set_temperature(40.0)
        return guest

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file under the root, as whole lines if it is text."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode() + b"\n")

    def shim(self, name: str, script: str) -> None:
        """Put a command before the others of this name."""
        self.write(f"bin/{name}", f"#!/bin/sh\n{script}")
        (self.root / "bin" / name).chmod(0o755)

    def set_temperature(self, degrees: float, status: int = 0) -> None:
        """Set what the thermal zone and Android's service read."""
        self.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal")
        self.write("sys/class/thermal/thermal_zone0/temp", str(round(1000 * degrees)))
        self.write("answers/dumpsys.thermalservice", THERMALSERVICE.format(status=status, degrees=degrees))

    def path(self, path: str) -> Path:
        """Return where an absolute path of the device lies here."""
        return self.root / path.lstrip("/")

    def command(self, script: str) -> list[str]:
        """Return what runs a script of the device here."""
        seen = _SEEN.sub(f"{self.root}/", script)
        return ["sh", "-c", re.sub(r"^\./", "arm64 ./", seen, flags=re.MULTILINE)]

    def environment(self) -> dict[str, str]:
        """Return the environment of its processes."""
        return {"PATH": f"{self.root}/bin:/usr/bin:/bin", "HOME": f"{self.root}/home", "LC_ALL": "C"}

    def popen(self, script: str) -> subprocess.Popen:
        """Start a script, as the leader of its group."""
        return subprocess.Popen(
            self.command(script),
            cwd=self.root,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )


def _words(mask: int) -> str:
    """Return a mask as the kernel prints it."""
    digits = f"{mask:x}"
    digits = digits.zfill(-(-len(digits) // 8) * 8)
    return ",".join(digits[i : i + 8] for i in range(0, len(digits), 8))


def main() -> None:
    """Run what an ssh client asked for: a script on standard input for `sh`, else the command itself."""
    guest = Guest(Path(sys.argv[1]))
    asked = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    os.chdir(guest.root / "home")
    command = guest.command(sys.stdin.read() if asked == "sh" else asked)
    os.execvpe(command[0], command, guest.environment())


if __name__ == "__main__":
    main()
