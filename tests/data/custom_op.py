"""Makes what a compiled segment looks like: a network with one operation that only a delegate for the Edge TPU can run.

python tests/data/custom_op.py tests/data/tiny.reconet fused.tflite tests/data/custom_op.tflite

The operation has the ends of that segment. Its options are not those of a real compiler.
"""

import sys
from pathlib import Path

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from appliance.style import bundle
from trainer.edgetpu.flatbuffer import pack, unpack
from trainer.edgetpu.rules import DELEGATE


def compiled(data):
    model = unpack(data)
    graph = model.subgraphs[0]
    graph.tensors = [graph.tensors[int(graph.inputs[0])], graph.tensors[int(graph.outputs[0])]]
    for tensor in graph.tensors:
        tensor.buffer = 0
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([1], np.int32)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    operator.customOptions = list(b"stand-in")
    graph.operators = [operator]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = DELEGATE, 1
    model.operatorCodes, model.buffers = [code], model.buffers[:1]
    model.metadata, model.metadataBuffer, model.signatureDefs = [], [], []
    return pack(model)


if __name__ == "__main__":
    source, name, target = sys.argv[1:]
    Path(target).write_bytes(compiled(bundle.read(source).files[name]))
