"""Debian's ARM64 libraries for other machines: what a program for ARM64 needs under qemu and on Android."""

from pathlib import Path

SYSROOT = Path("/usr/aarch64-linux-gnu")
CROSS_PACKAGES = ("libc6-arm64-cross", "libgcc-s1-arm64-cross", "libstdc++6-arm64-cross")
CROSS_FILES = (
    *("ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"),
    *("libgcc_s.so.1", "libstdc++.so.6"),
)


def cross_libraries_missing() -> str | None:
    """Return what to do when Debian's ARM64 libraries are not there, None when they are."""
    missing = [name for name in CROSS_FILES if not (SYSROOT / "lib" / name).is_file()]
    if not missing:
        return None
    return f"{missing[0]} for ARM64 is not in {SYSROOT}/lib. Debian: apt-get install {' '.join(CROSS_PACKAGES)}."
