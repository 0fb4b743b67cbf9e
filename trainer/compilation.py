"""reconet-train compile: puts compiled segments into a bundle, of the best plan that the compiler takes."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from appliance.style import bundle
from trainer.edgetpu import compiler
from trainer.edgetpu.compiler import CompilationFailed, NoCompiler, Report

PREFERRED = ("fused", "lowres", "split")  # the fewer bytes over the TPU's boundary the better


def compile_bundle(
    path: Path,
    timeout: int = 180,
    smaller: Iterable[tuple[str, Callable[[], Path]]] = (),
    console: Console | None = None,
) -> str:
    """Compiles the bundle at path in place and returns the plan that it ends with.

    Plans are tried in the order of PREFERRED until one is mapped whole; then those of smaller bundles, pairs of (what
    it is called, a function that makes one). When none is mapped whole, the one with most of its operations on the TPU
    is taken. The bundle is untouched unless this succeeds. Raises NoCompiler, CompilationFailed when nothing compiled,
    or Problem.
    """
    console = console or Console()
    compiler.find()
    best = None
    for title, make in [("", lambda: path), *smaller]:
        style = bundle.read(make())
        for plan in sorted(style.manifest.plans, key=_preference):
            name = f"{plan.name} {title}".strip()
            try:
                files, reports = _compile_plan(style, plan, timeout)
            except NoCompiler:
                raise
            except CompilationFailed as problem:
                console.print(f"{name}: {problem}", highlight=False)
                continue
            _show(console, name, reports)
            share = sum(report.on_tpu for report in reports) / max(1, sum(_operations(report) for report in reports))
            if best is None or share > best[0]:
                best = share, style, plan, files, reports
            if share == 1:
                break
        if best and best[0] == 1:
            break
    if best is None:
        raise CompilationFailed(f"{path}: no plan compiled; nothing was changed; try --sweep, or another [network]")
    share, style, plan, files, reports = best
    _write(path, style, plan, files, reports)
    whole = "all of it on the TPU" if share == 1 else f"{share:.0%} of its operations on the TPU"
    console.print(f"{path}: plan {plan.name} compiled, {whole}", highlight=False)
    return plan.name


def smaller_sizes(size: tuple[int, int], count: int = 4) -> list[tuple[int, int]]:
    """Sizes (height, width) to go on with when one does not compile: each an eighth narrower, multiples of 8."""
    height, width = size
    widths = [round(width * (1 - i / 8) / 8) * 8 for i in range(1, count + 1)]
    return [(max(16, round(height * w / width / 8) * 8), w) for w in widths if w >= 16]


def _operations(report: Report) -> int:
    return report.on_tpu + report.on_cpu


def _preference(plan):
    return PREFERRED.index(plan.name) if plan.name in PREFERRED else len(PREFERRED)


def _compile_plan(style, plan, timeout):
    segments = {stage.segment: style.files[stage.segment] for stage in plan.segments}
    with tempfile.TemporaryDirectory(prefix="reconet-compile-") as folder:
        return compiler.compile_segments(segments, Path(folder), timeout)


def _show(console, name: str, reports: list[Report]) -> None:
    table = Table("segment", "on the TPU", "on the CPU", "cached, KiB", "streamed, KiB", title=name)
    for report in reports:
        sizes = (f"{report.cached / 1024:.0f}", f"{report.streamed / 1024:.0f}")
        table.add_row(report.segment, str(report.on_tpu), str(report.on_cpu), *sizes)
    console.print(table)
    for report in reports:
        for row in report.operations:
            if row.status != compiler.MAPPED:
                line = f"{report.segment}: {row.count} {row.name} on the CPU: {row.status}"
                console.print(line, highlight=False, soft_wrap=True)


def _write(path, style, plan, compiled, reports):
    fields = style.manifest.model_dump(mode="json", exclude_none=True)
    old = {stage.pop("edgetpu", None) for other in fields["plans"] for stage in other["stages"]}
    files = {name: data for name, data in style.files.items() if name not in old} | compiled
    chosen = next(other for other in fields["plans"] if other["name"] == plan.name)
    for stage in chosen["stages"]:
        if "segment" in stage:
            stage["edgetpu"] = compiler.compiled_name(stage["segment"])
    fields["plans"].sort(key=lambda other: other["name"] != plan.name)
    del fields["files"]
    fields["provenance"]["compiled"] = {
        report.segment: {
            "compiler": report.compiler,
            "tpu": report.on_tpu,
            "cpu": report.on_cpu,
            "cached_bytes": report.cached,
            "streamed_bytes": report.streamed,
        }
        for report in reports
    }
    bundle.write(path, fields, files)
