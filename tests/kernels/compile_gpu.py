"""Compile every op's Triton kernels for GPUs that are not here; one JSON line per kernel and target.

Registers and spills are what ptxas (NVIDIA) and the code object's notes (AMD) say.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from rawdiff_kernels import launch, routes
from rawdiff_kernels.launch import Specimen
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


def _ptxas(ptx: str, arch: str) -> dict[str, int]:
    """Assemble PTX once more, verbosely: registers and bytes spilled."""
    newest = TOOLS / "ptxas-blackwell"
    tool = newest if newest.exists() else TOOLS / "ptxas"
    suffix = arch + ("a" if arch == "sm_90" else "")
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = [str(tool), "-v", f"-arch={suffix}", file.name, "-o", "/dev/null"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spilled = [int(n) for n in re.findall(r"(\d+) bytes spill (?:stores|loads)", said)]
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", said)]
    if not spilled or not registers:
        raise ValueError(f"ptxas did not say what it used: {said}")
    return {"registers": max(registers), "spills": sum(spilled)}


def _amd_notes(assembly: str) -> dict[str, int]:
    counts = {name: int(n) for name, n in re.findall(r"\.(\w+_count): +(\d+)", assembly)}
    return {
        "registers": counts["vgpr_count"],
        "spills": counts["vgpr_spill_count"] + counts["sgpr_spill_count"],
    }


def _compile(specimen: Specimen, target: GPUTarget, name: str) -> dict[str, int]:
    kernel = getattr(specimen.kernel, "fn", specimen.kernel)
    kernel = kernel if hasattr(kernel, "arg_names") else specimen.kernel
    types = dict(specimen.signature) | dict.fromkeys(specimen.constants, "constexpr")
    signature = {argument: types[argument] for argument in kernel.arg_names}
    source = ASTSource(kernel, signature, constexprs=dict(specimen.constants))
    compiled = triton.compile(source, target=target, options={"num_warps": specimen.warps})
    return (
        _amd_notes(compiled.asm["amdgcn"]) if target.backend == "hip" else _ptxas(compiled.asm["ptx"], name)
    )


def main(ops: list[str]) -> int:
    """Compile the kernels of the given ops, or of all."""
    for op in ops or routes.OPS:
        for specimen in launch.load(op).specimens():
            for name, target in TARGETS.items():
                line: dict[str, object] = {"op": op, "kernel": specimen.name, "target": name}
                try:
                    line |= _compile(specimen, target, name)
                except Exception as error:  # a kernel that does not compile is a result, the others go on
                    line["problem"] = f"{type(error).__name__}: {error}"
                sys.stdout.write(json.dumps(line) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
