"""reconet-train compile: adds sets of compiled segments to a bundle, each for one plan and one picture size."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from appliance.style import archive, bundle
from appliance.style.manifest import Plan, Size, build, size_name
from appliance.style.sizes import check
from trainer.edgetpu import compiler
from trainer.edgetpu.compiler import CompilationFailed, NoCompiler, Report
from trainer.edgetpu.sizes import with_sizes

PREFERRED = ("fused", "lowres", "split")  # fewest bytes to and from the TPU first
_MANIFEST = 1 << 20  # bytes kept free for the manifest and the archive itself


@dataclass(frozen=True)
class Compiled:
    """The segments of a plan, compiled together for one size: `files` are in their order."""

    plan: Plan
    size: Size
    files: dict[str, bytes]
    reports: list[Report]

    @property
    def share(self) -> float:
        """Share of the operations that run on the TPU, 0..1."""
        return sum(report.on_tpu for report in self.reports) / max(1, sum(map(_operations, self.reports)))

    def __str__(self) -> str:
        whole = "all operations on the TPU" if self.share == 1 else f"{self.share:.0%} of its operations on the TPU"
        return f"plan {self.plan.name} compiled for {size_name(self.size)}, {whole}"


def compile_bundle(
    path: Path,
    timeout: int = 180,
    sizes: Sequence[Size] = (),
    smaller: bool = False,
    console: Console | None = None,
) -> list[Compiled]:
    """Compiles the bundle at path in place, and returns the sets that were added.

    With sizes (width, height), every plan is compiled for each. Without, plans are tried in the order of PREFERRED, for
    the stored size, until one is mapped completely; with `smaller`, also for smaller sizes until then. A set that is
    not mapped completely is used only if there is no other: the one with the largest share on the TPU. Earlier sets for
    the same sizes are replaced. A set for which a bundle has no room is left out, and said. The bundle is unchanged
    unless something was added. Raises NoCompiler, CompilationFailed when nothing was, or Problem.
    """
    console = console or Console()
    compiler.find()
    style = _in_newest_format(bundle.read(path))
    for size in sizes:
        check(style.manifest, size)
    sets: list[Compiled] = []
    left: list[Compiled] = []

    def add(found: list[Compiled]) -> None:
        for one in found:
            (sets if _fits(style, [*sets, one]) else left).append(one)

    if sizes:
        for size in dict.fromkeys(sizes):
            add(_best(_all_plans(style, size, timeout, console)))
    else:
        tried: list[Compiled] = []
        for size in [style.manifest.size, *(_smaller(style) if smaller else [])]:
            tried += _all_plans(style, size, timeout, console, until_whole=True)
            if any(one.share == 1 for one in tried):
                break
        add(_best(tried)[:1])
    if not sets and not left:
        raise CompilationFailed(f"{path}: no plan compiled, nothing was changed; try --sweep, or another [network]")
    full = f"{path}: no room for {_listed(left)}: a bundle holds {_limit()}"
    if not sets:
        raise CompilationFailed(f"{full}; nothing was changed: compile for smaller sizes")
    bundle.write(path, *_with(style, sets))
    for one in sets:
        console.print(f"{path}: {one}", highlight=False, soft_wrap=True)
    if left:
        console.print(full, highlight=False, soft_wrap=True)
    return sets


def _fits(style, sets: list[Compiled]) -> bool:
    """Whether a bundle has room for the style with these sets."""
    _, files = _with(style, sets)
    room = bundle.MAX_BYTES - _MANIFEST - sum(map(len, files.values()))
    return room >= 0 and len(files) < archive.MAX_MEMBERS  # the manifest is one more


def _limit() -> str:
    return f"{bundle.MAX_BYTES >> 20} MiB unpacked and {archive.MAX_MEMBERS} files at most"


def _listed(sets: list[Compiled]) -> str:
    """640x360 (fused, split) and 960x544 (split)."""
    plans: dict[Size, list[str]] = {}
    for one in sets:
        plans.setdefault(one.size, []).append(one.plan.name)
    return " and ".join(f"{size_name(size)} ({', '.join(names)})" for size, names in plans.items())


def _best(sets: list[Compiled]) -> list[Compiled]:
    """Those that are mapped completely, or else the one with the largest share on the TPU."""
    return [one for one in sets if one.share == 1] or sorted(sets, key=lambda one: -one.share)[:1]


def _all_plans(style, size: Size, timeout: int, console: Console, until_whole: bool = False) -> list[Compiled]:
    """The plans that compile for `size`, in the order of PREFERRED; with `until_whole`, none after one mapped
    completely. Not the lite plan, which is for the CPU.
    """
    sets = []
    for plan in sorted((plan for plan in style.manifest.plans if not plan.lite), key=_preference):
        name = f"{plan.name} at {size_name(size)}"
        try:
            one = _compile_plan(style, plan, size, timeout)
        except NoCompiler:
            raise
        except CompilationFailed as problem:
            console.print(f"{name}: {problem}", highlight=False, soft_wrap=True)
            continue
        _show(console, name, one.reports)
        sets.append(one)
        if until_whole and one.share == 1:
            break
    return sets


def _in_newest_format(style: bundle.Bundle) -> bundle.Bundle:
    fields = style.manifest.model_dump(mode="json", exclude_none=True)
    return bundle.Bundle(style.path, build(with_sizes(fields, style.files)), style.files)


def _smaller(style) -> list[Size]:
    width, height = style.manifest.size
    sizes = [(w, h) for h, w in smaller_sizes((height, width))]
    return [size for size in sizes if style.manifest.has(size)]


def smaller_sizes(size: tuple[int, int], count: int = 4) -> list[tuple[int, int]]:
    """Sizes (height, width) to try when one does not compile: each an eighth narrower, multiples of 8."""
    height, width = size
    widths = [round(width * (1 - i / 8) / 8) * 8 for i in range(1, count + 1)]
    return [(max(16, round(height * w / width / 8) * 8), w) for w in widths if w >= 16]


def _operations(report: Report) -> int:
    return report.on_tpu + report.on_cpu


def _preference(plan):
    return PREFERRED.index(plan.name) if plan.name in PREFERRED else len(PREFERRED)


def _compile_plan(style, plan: Plan, size: Size, timeout: int) -> Compiled:
    segments = {
        _named(plan, segment.segment, size): data
        for segment, data in zip(plan.segments, style.build(plan, size), strict=True)
    }
    with tempfile.TemporaryDirectory(prefix="reconet-compile-") as folder:
        return Compiled(plan, size, *compiler.compile_segments(segments, Path(folder), timeout))


def _named(plan: Plan, segment: str, size: Size) -> str:
    """fused_640x360.tflite, split_encoder_640x360.tflite."""
    stem = segment.removesuffix(".tflite")
    return f"{stem if stem == plan.name else f'{plan.name}_{stem}'}_{size_name(size)}.tflite"


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


def _with(style, sets: list[Compiled]) -> tuple[dict, dict[str, bytes]]:
    """The manifest's fields and the files of the style with these sets added."""
    fields = style.manifest.model_dump(mode="json", exclude_none=True)
    replaced = {size_name(one.size) for one in sets}
    for plan in fields["plans"]:
        kept = {size: names for size, names in plan.pop("edgetpu", {}).items() if size not in replaced}
        made = {size_name(one.size): list(one.files) for one in sets if one.plan.name == plan["name"]}
        if kept or made:
            plan["edgetpu"] = {**kept, **made}
    order = [plan.name for plan in sorted(style.manifest.plans, key=_preference)]
    fields["plans"].sort(key=lambda plan: (0, order.index(plan["name"])) if "edgetpu" in plan else (1, 0))
    compiled = {name for plan in fields["plans"] for names in plan.get("edgetpu", {}).values() for name in names}
    before = {
        name for plan in style.manifest.plans for names in style.manifest.compiled(plan).values() for name in names
    }
    files = {name: data for name, data in style.files.items() if name not in before or name in compiled}
    for one in sets:
        files |= one.files
    del fields["files"]
    said = fields["provenance"].get("compiled", {})
    said = {name: one for name, one in said.items() if compiler.compiled_name(name) in compiled}
    for report in (report for one in sets for report in one.reports):
        said[report.segment] = {
            "compiler": report.compiler,
            "tpu": report.on_tpu,
            "cpu": report.on_cpu,
            "cached_bytes": report.cached,
            "streamed_bytes": report.streamed,
        }
    fields["provenance"]["compiled"] = said
    return fields, files
