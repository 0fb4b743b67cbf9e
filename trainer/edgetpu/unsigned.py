"""uint8 at all ends of a segment, by a QUANTIZE on the Edge TPU.

Google's runtime converts an int8 input or output on the CPU, byte by byte, at each call; uint8 it only copies.
"""

import copy

from trainer.edgetpu.flatbuffer import pack, tensor_type, unpack


def unsigned(data: bytes) -> bytes:
    """The segment with a QUANTIZE at each end that is int8; the same bytes where none is.

    Its int8 bytes with their top bit flipped are what it takes and gives then: the zero-point moves by 128, the scale
    stays. So the results are bit-identical.
    """
    model = unpack(data)
    graph = model.subgraphs[0]
    if all(tensor_type(graph.tensors[i]) != "INT8" for i in (*graph.inputs, *graph.outputs)):
        return data
    return pack(with_unsigned_ends(model))


def with_unsigned_ends(model):
    """As unsigned(), of a ModelT. Returns another, which shares its parts."""
    made = copy.copy(model)
    made.subgraphs, made.operatorCodes = [copy.copy(model.subgraphs[0])], list(model.operatorCodes)
    graph = made.subgraphs[0]
    graph.tensors, graph.operators = list(graph.tensors), list(graph.operators)
    inputs, outputs = ([_twin(graph, number) for number in numbers] for numbers in (graph.inputs, graph.outputs))
    heads = [_quantize(made, *pair) for pair in zip(inputs, graph.inputs, strict=True) if pair[0] != pair[1]]
    tails = [_quantize(made, *pair) for pair in zip(graph.outputs, outputs, strict=True) if pair[0] != pair[1]]
    graph.operators = [*heads, *graph.operators, *tails]
    graph.inputs, graph.outputs = inputs, outputs
    return made


def _twin(graph, number: int) -> int:
    """The number of a new uint8 tensor with the values of an int8 one; another's own number."""
    from tensorflow.lite.python import schema_py_generated as schema

    if tensor_type(graph.tensors[number]) != "INT8":
        return int(number)
    tensor = copy.copy(graph.tensors[number])
    tensor.name, tensor.type = bytes(tensor.name) + b"_uint8", schema.TensorType.UINT8
    tensor.quantization = copy.copy(tensor.quantization)
    tensor.quantization.zeroPoint = [int(zero) + 128 for zero in tensor.quantization.zeroPoint]
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _quantize(model, source: int, target: int):
    """A QUANTIZE from one tensor to another. Its code is added to the model where that has none."""
    from tensorflow.lite.python import schema_py_generated as schema

    made = schema.OperatorT()
    made.inputs, made.outputs = [source], [target]
    kind = schema.BuiltinOperator.QUANTIZE
    for made.opcodeIndex, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == kind:
            return made
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = kind
    code.version = 1
    model.operatorCodes.append(code)
    made.opcodeIndex = len(model.operatorCodes) - 1
    return made
