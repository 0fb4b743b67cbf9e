"""Cuts one converted network at its nearest-neighbour upsamples.

Segments keep the whole network's tensors, scales and zero-points, so segments with NumPy upsampling between them give
exactly the whole network's bytes. Segments converted separately would get different scales at their boundaries. Where
the whole network takes uint8, all ends are uint8: upsampling copies bytes, so their type does not matter.

A segment's first output goes to the next stage. Its further outputs are kept on a stack, in their order. The further
inputs of a later segment are taken from it, the last kept first.
"""

import copy

from appliance.errors import Problem
from trainer.edgetpu.flatbuffer import operation, pack, tensor_type, unpack
from trainer.edgetpu.unsigned import with_unsigned_ends

UPSAMPLE = "RESIZE_NEAREST_NEIGHBOR"


def cut(data: bytes) -> list[bytes | int]:
    """A TFLite network as its stages in order: bytes of a segment, or the integer factor of an upsample.

    Raises Problem when a resize is not by one integer factor, and when a tensor crosses a cut that no stack can carry.
    """
    model = unpack(data)
    graph = model.subgraphs[0]
    stages: list[bytes | int] = []
    kept: list[int] = []
    ends = with_unsigned_ends if tensor_type(graph.tensors[graph.inputs[0]]) == "UINT8" else lambda part: part
    first, source = 0, graph.inputs
    for i, operator in enumerate([*graph.operators, None]):
        if operator is not None and operation(model, operator)[0] != UPSAMPLE:
            continue
        sink = graph.outputs if operator is None else [operator.inputs[0]]
        taken = _taken(kept, _read(graph.operators[first:i]))
        later = _read(graph.operators[i + 1 :])
        keeps = [int(t) for o in graph.operators[first:i] for t in o.outputs if int(t) in later]
        stages.append(pack(ends(_segment(model, first, i, [*source, *taken], [*sink, *keeps]))))
        kept += keeps
        if operator is not None:
            stages.append(_factor(graph, operator))
            first, source = i + 1, [operator.outputs[0]]
    return stages


def _read(operators) -> set[int]:
    return {int(i) for o in operators for i in o.inputs}


def _taken(kept: list[int], read: set[int]) -> list[int]:
    """Takes the tensors that are read off the top of the stack."""
    taken = []
    while kept and kept[-1] in read:
        taken.append(kept.pop())
    return taken


def _factor(graph, operator) -> int:
    before, after = (graph.tensors[i].shape for i in (operator.inputs[0], operator.outputs[0]))
    factor = int(after[1] // before[1])
    if factor < 2 or list(after) != [before[0], before[1] * factor, before[2] * factor, before[3]]:
        raise Problem(f"cut: {UPSAMPLE} from {list(before)} to {list(after)} is not by one integer factor")
    return factor


def _segment(model, first, end, source, sink):
    graph = model.subgraphs[0]
    operators = graph.operators[first:end]
    used = sorted(
        {int(i) for o in operators for i in (*o.inputs, *o.outputs) if i >= 0} | {int(i) for i in (*source, *sink)}
    )
    made = {int(i) for o in operators for i in o.outputs} | {int(i) for i in source}
    for o in operators:
        for i in o.inputs:
            if i >= 0 and i not in made and model.buffers[graph.tensors[i].buffer].data is None:
                raise Problem(
                    "cut: what crosses an upsample has to be computed before it, and read by one segment after it, "
                    "the last computed first"
                )
    if len({tuple(graph.tensors[i].shape[1:3]) for i in source}) > 1:
        raise Problem("cut: tensors of different height or width are read by one segment")
    part = copy.copy(model)
    part.subgraphs = [copy.copy(graph)]
    new_graph = part.subgraphs[0]
    tensor_at = {old: new for new, old in enumerate(used)}
    codes = sorted({o.opcodeIndex for o in operators})
    part.operatorCodes = [model.operatorCodes[i] for i in codes]
    part.buffers = [copy.copy(model.buffers[0])]
    part.metadata, part.metadataBuffer, part.signatureDefs = None, None, None
    new_graph.tensors = []
    for old in used:
        tensor = copy.copy(graph.tensors[old])
        if model.buffers[tensor.buffer].data is None:
            tensor.buffer = 0
        else:
            part.buffers.append(model.buffers[tensor.buffer])
            tensor.buffer = len(part.buffers) - 1
        new_graph.tensors.append(tensor)

    def renumber(indices):
        return [tensor_at.get(int(i), -1) for i in indices]

    new_graph.operators = []
    for old in operators:
        operator = copy.copy(old)
        operator.opcodeIndex = codes.index(old.opcodeIndex)
        operator.inputs, operator.outputs = renumber(old.inputs), renumber(old.outputs)
        new_graph.operators.append(operator)
    new_graph.inputs, new_graph.outputs = renumber(source), renumber(sink)
    return part
