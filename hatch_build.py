"""Puts the built dashboard into wheels. `GW_SKIP_UI=1` leaves it out knowingly; a failed build fails the wheel."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Dashboard(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or self.target_name != "wheel" or os.environ.get("GW_SKIP_UI") == "1":
            return
        script = runpy.run_path(str(Path(self.root) / "ui" / "build.py"))
        if not script["built"]():
            script["build"]()
        if not script["built"]():
            raise RuntimeError("The dashboard was built, and still is not there.")
