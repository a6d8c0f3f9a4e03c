"""The doubles of devices, for the pages that measure on one, and the Android archive, for that on apps."""

from app_archives import app_library, archive_classes, archive_folder
from doubles import adb, phone, pi, plugged

__all__ = ["adb", "app_library", "archive_classes", "archive_folder", "phone", "pi", "plugged"]
