"""Runs Google's edgetpu_compiler on a plan's segments and parses its output.

All segments of a plan go into one command, so that they share one parameter cache. Compiled
separately, each would evict the others' parameters at every inference.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import Problem

NAME = "edgetpu_compiler"
DOCUMENTED = "https://coral.ai/docs/edgetpu/compiler/"
MAPPED = "Mapped to Edge TPU"
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class NoCompiler(Problem):
    """The compiler is not on this machine."""

    exit_code = 3


class CompilationFailed(Problem):
    """The compiler refused a plan, crashed, or took too long."""


@dataclass(frozen=True)
class Operations:
    """A row of the compiler's log: an operator, its count, and its status."""

    name: str
    count: int
    status: str


@dataclass
class Report:
    """The compiler's report on one segment. `compiler` is its version; sizes are in bytes."""

    segment: str
    compiler: str = ""
    cached: int = 0
    streamed: int = 0
    operations: list[Operations] = field(default_factory=list)

    @property
    def on_tpu(self) -> int:
        return sum(row.count for row in self.operations if row.status == MAPPED)

    @property
    def on_cpu(self) -> int:
        return sum(row.count for row in self.operations if row.status != MAPPED)


def find() -> str:
    """The compiler's path: $EDGETPU_COMPILER, or the one on the PATH. Raises NoCompiler."""
    found = shutil.which(os.environ.get("EDGETPU_COMPILER", NAME))
    if not found:
        raise NoCompiler(
            f"{NAME} is not on this machine (Debian, x86-64 only): install it as {DOCUMENTED} says; nothing was changed"
        )
    return found


def compile_segments(segments: dict[str, bytes], folder: Path, timeout: int = 180) -> tuple[dict, list[Report]]:
    """Compiles a plan's segments {name.tflite: bytes} together, in an empty folder.

    Returns ({name_edgetpu.tflite: bytes}, a report a segment). Raises NoCompiler or CompilationFailed, one line.
    """
    command = [find(), "--show_operations", "--timeout_sec", str(timeout), "--out_dir", str(folder)]
    for name, data in segments.items():
        (folder / name).write_bytes(data)
        command.append(str(folder / name))
    try:
        # Longer than the compiler's own limit, in case the compiler hangs.
        ran = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout + 30)
    except subprocess.TimeoutExpired as error:
        raise CompilationFailed(f"{NAME} did not finish within {timeout + 30} s") from error
    except OSError as error:
        raise CompilationFailed(f"{NAME} cannot be run: {error.strerror}") from error
    said = ran.stdout + ran.stderr
    if ran.returncode != 0 or "Compilation failed" in said:
        raise CompilationFailed(f"{NAME}: {reason(said, ran.returncode)}")
    compiled, reports = {}, parse(said)
    for name in segments:
        path = folder / compiled_name(name)
        if not path.is_file() or not path.stat().st_size:
            raise CompilationFailed(f"{NAME} succeeded but wrote no {path.name}")
        compiled[path.name] = path.read_bytes()
    if [report.segment for report in reports] != list(segments):
        raise CompilationFailed(
            f"{NAME} reported {len(reports)} of {len(segments)} models: its output is not in the known format"
        )
    return compiled, reports


def compiled_name(segment: str) -> str:
    return f"{segment.removesuffix('.tflite')}_edgetpu.tflite"


def reason(said: str, code: int) -> str:
    """Why a compilation failed, from the compiler's output and exit code (negative: a signal)."""
    if code < 0:
        return f"killed by signal {-code}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    known = (
        "Compilation failed due to",
        "Model failed in Tflite interpreter",
        "Didn't find op for builtin opcode",
        "Model not quantized",
        "Invalid model",
        "Internal compiler error",
        "timed out",
        "timeout",
    )
    for mark in known:
        for line in lines:
            if mark in line and "timeout timer" not in line:
                return line
    failed = [line for line in lines if not line.startswith(("Compilation failed", "Edge TPU Compiler", "Started"))]
    return failed[-1] if failed else f"exit code {code}"


def parse(said: str) -> list[Report]:
    """The reports in the compiler's output, in its order (format of version 16)."""
    reports: list[Report] = []
    version = ""
    for line in map(str.strip, said.splitlines()):
        if match := re.fullmatch(r"Edge TPU Compiler version (\S+)", line):
            version = match[1]
        elif match := re.fullmatch(r"Input model: (.+)", line):
            reports.append(Report(Path(match[1]).name, version))
        elif not reports:
            continue
        elif match := re.fullmatch(r"On-chip memory used for caching model parameters: ([\d.]+)(\w+)", line):
            reports[-1].cached = _bytes(match)
        elif match := re.fullmatch(
            r"Off-chip memory used for streaming uncached model parameters: ([\d.]+)(\w+)", line
        ):
            reports[-1].streamed = _bytes(match)
        elif match := re.fullmatch(r"([A-Z][A-Z0-9_]*|[a-z]+-[a-z-]+)\s+(\d+)\s+(\S.*)", line):
            reports[-1].operations.append(Operations(match[1], int(match[2]), match[3]))
    return reports


def _bytes(match) -> int:
    return round(float(match[1]) * UNITS.get(match[2], 1))
