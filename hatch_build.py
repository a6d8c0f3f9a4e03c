"""The wheel for ARM64 Linux: with LARQNETS_BUNDLE=build/arm64 the wheel carries that bundle and the platform's tag,
and leaves out the images that come with the package to train with.

Without the variable it is the pure wheel for every machine. `make wheels` builds both.
"""

import json
import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Google's library needs glibc 2.30, ours less; nothing depends on Python's ABI, the libraries are loaded by ctypes.
TAG = "py3-none-manylinux_2_30_aarch64"
# Images to train with: nothing is trained on a board.
LEFT_OUT = ["/larqnets/data/*/*.npz"]


class Arm64Runtime(BuildHookInterface):
    """Adds the bundle's files as android_bench/lib/, where android_bench.runtime.in_process looks for them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files; raises ValueError when the bundle is not there."""
        named = os.environ.get("LARQNETS_BUNDLE")
        if not named or version == "editable":
            return
        folder = Path(self.root) / named
        try:
            files = json.loads((folder / "manifest.json").read_text())["files"]
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"There is no ARM64 runtime in {folder}. Build it with `make native`.") from error
        build_data["tag"] = TAG
        build_data["pure_python"] = False
        self.build_config.target_config["exclude"] = LEFT_OUT
        for name in (*files, "manifest.json"):
            build_data["force_include"][str(folder / name)] = f"android_bench/lib/{name}"
