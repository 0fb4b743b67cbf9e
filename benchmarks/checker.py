"""Judges trainer.edgetpu.check against Google's compiler: python -m benchmarks.checker DIR...

Every pair x.tflite, x_edgetpu.tflite below the folders is a case. What stands outside the edgetpu-custom-op of the
compiled file was not mapped; the compiler keeps the names of the tensors, which tell the operations apart. Where it was
allowed several subgraphs, what the checker leaves to the CPU for being outside of the first is not counted.
"""

import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from appliance.errors import Problem
from trainer.edgetpu.check import OUTSIDE, check_model
from trainer.edgetpu.flatbuffer import operation, unpack
from trainer.edgetpu.rules import DELEGATE, MAPPED, VERDICTS

SUFFIX = "_edgetpu.tflite"


def outputs(data: bytes) -> list[tuple[str, ...]]:
    """For each operation, its name and the names of the tensors that it gives."""
    model = unpack(data)
    graph = model.subgraphs[0]
    found = []
    for operator in graph.operators:
        custom = model.operatorCodes[operator.opcodeIndex].customCode
        name = custom.decode() if custom else operation(model, operator)[0]
        found.append((name, *(bytes(graph.tensors[i].name).decode() for i in operator.outputs)))
    return found


def subgraphs(compiled: bytes) -> int:
    """How many operations of a compiled file run on the Edge TPU."""
    return sum(entry[0] == DELEGATE for entry in outputs(compiled))


def mapped(source: bytes, compiled: bytes) -> list[bool]:
    """Which operations of source the compiler mapped. Raises Problem when compiled is not made from source."""
    before, after = outputs(source), outputs(compiled)
    left = {entry for entry in after if entry[0] != DELEGATE}
    if len(left) == len(after) or len(set(before)) < len(before) or not left <= set(before):
        raise Problem("not compiled from the file beside it")
    return [entry not in left for entry in before]


def main(folders: list[str]) -> int:
    """Prints the confusion table; returns 1 when an operation is wrongly called mapped, 2 without folders."""
    if not folders:
        print(__doc__, file=sys.stderr)
        return 2
    console, total, models, wrong, seen = Console(), Counter(), Counter(), [], set()
    for compiled in sorted(path for folder in folders for path in Path(folder).rglob(f"*{SUFFIX}")):
        source = compiled.with_name(compiled.name.removesuffix(SUFFIX) + ".tflite")
        if not source.exists():
            models["without a source"] += 1
            continue
        data = source.read_bytes(), compiled.read_bytes()
        if data in seen:
            models["copies of another pair"] += 1
            continue
        seen.add(data)
        try:
            truth = mapped(*data)
        except Problem as problem:
            models["mismatched"] += 1
            console.print(f"left out: {compiled}: {problem}", soft_wrap=True)
            continue
        models["pairs"] += 1
        models["pairs with operations left to the CPU"] += not all(truth)
        several = subgraphs(data[1]) > 1
        models["pairs with several subgraphs"] += several
        for verdict, really in zip(check_model(data[0]), truth, strict=True):
            if several and verdict.reason == OUTSIDE:
                continue
            total[verdict.verdict, really] += 1
            if verdict.verdict == MAPPED and not really:
                wrong.append(f"{source}: {verdict.name} ({verdict.index})")
    table = Table("predicted", "really mapped", "really not mapped")
    for verdict in VERDICTS:
        table.add_row(verdict, str(total[verdict, True]), str(total[verdict, False]))
    console.print(*(f"{count} {what}" for what, count in models.items()), sep="\n")
    console.print(table, f"{len(wrong)} wrongly called mapped", *wrong, sep="\n", soft_wrap=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
