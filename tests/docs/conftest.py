"""The doubles of devices, for the pages that measure on one."""

from doubles import adb, phone, pi, plugged

__all__ = ["adb", "phone", "pi", "plugged"]
