"""Makes a style with uint8 ends of one with int8 ends: a QUANTIZE before its networks and one behind.

python tests/data/uint8_ends.py tests/data/tiny.reconet tests/data/tiny_uint8.reconet
"""

import copy
import sys
from pathlib import Path

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from appliance.style import bundle
from trainer.edgetpu.flatbuffer import pack, unpack


def quantised_ends(model, at_inputs=True, at_outputs=True):
    """The bytes of `model` with uint8 at all of its inputs, its outputs, or both."""
    graph = model.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    code.version = 1
    model.operatorCodes.append(code)
    if at_inputs:
        graph.inputs = [_converted(model, int(number), True) for number in graph.inputs]
    if at_outputs:
        graph.outputs = [_converted(model, int(number), False) for number in graph.outputs]
    return pack(model)


def _converted(model, signed, before):
    """The number of a new uint8 tensor of the same values as the tensor `signed`, from or into which it is made."""
    graph = model.subgraphs[0]
    tensor = copy.deepcopy(graph.tensors[signed])
    tensor.type, tensor.buffer, tensor.name = schema.TensorType.UINT8, 0, tensor.name + b"_uint8"
    tensor.quantization.zeroPoint = np.asarray(tensor.quantization.zeroPoint) + 128
    graph.tensors.append(tensor)
    unsigned = len(graph.tensors) - 1
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
    operator.builtinOptions = schema.QuantizeOptionsT()
    operator.inputs, operator.outputs = ([unsigned], [signed]) if before else ([signed], [unsigned])
    graph.operators.insert(0 if before else len(graph.operators), operator)
    return unsigned


if __name__ == "__main__":
    style = bundle.read(Path(sys.argv[1]))
    files = dict(style.files)
    for plan in style.manifest.plans:
        names = [segment.segment for segment in plan.segments]
        for name in set(names):
            files[name] = quantised_ends(unpack(files[name]), name == names[0], name == names[-1])
    fields = style.manifest.model_dump(exclude_none=True)
    fields.pop("files")
    bundle.write(Path(sys.argv[2]), fields, files)
