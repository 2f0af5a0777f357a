"""The wheel's build hook: compiles the CPU kernels and marks the wheel for this platform.

Without a compiler the wheel holds no compiled code, is marked as pure Python, and carries the reason.
"""

from __future__ import annotations

import importlib.util
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILDER = Path("kernels") / "rawdiff_kernels" / "native" / "build.py"


class NativeKernelsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compile the native libraries into the source tree; the wheel takes them along as artifacts."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel (also an editable one) is put together."""
        builder = _load_builder(Path(self.root) / BUILDER)
        for library, reason in builder.build().items():
            self.app.display_warning(f"{library}: {reason}; the torch reference will be used instead")
        build_data["artifacts"].append(f"/{BUILDER.parent.as_posix()}/built/*")
        if any(builder.BUILT.glob("*.so")):
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"


def _load_builder(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("rawdiff_native_build", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
