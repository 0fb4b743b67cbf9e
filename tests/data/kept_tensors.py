"""Makes a style in which segments keep tensors for later ones, of the plan "split" of one in which none does.

python tests/data/kept_tensors.py tests/data/tiny.reconet tests/data/tiny_whole.tflite \
  tests/data/tiny_kept.reconet tests/data/tiny_kept_whole.tflite

The encoder's second plane is added to the first decoder's, and its first plane to the second's. All ends are uint8. The
last file is the whole network. It was not trained with the sums, so its picture is no good.
"""

import copy
import sys
from pathlib import Path

from tensorflow.lite.python import schema_py_generated as schema
from uint8_ends import quantised_ends  # beside this file

from appliance.style import bundle
from appliance.style.manifest import KEEPING
from trainer.edgetpu.flatbuffer import operation, unpack


def convolved(model):
    """The numbers of the tensors that the convolutions make, in order."""
    return [int(one.outputs[0]) for one in model.subgraphs[0].operators if operation(model, one)[0] == "CONV_2D"]


def add(model, target, kept):
    """Add the tensor `kept` to the tensor `target`, before whatever reads that. The sum has the scale of `target`."""
    graph = model.subgraphs[0]
    (place,) = [place for place, one in enumerate(graph.operators) if target in one.outputs]
    graph.tensors.append(copy.deepcopy(graph.tensors[target]))
    alone = len(graph.tensors) - 1
    graph.tensors[alone].name += b"_alone"
    graph.operators[place].outputs = [alone]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version = 2  # the first with int8
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
    operator.inputs, operator.outputs = [alone, kept], [target]
    graph.operators.insert(place + 1, operator)


def taken(model, tensor):
    """The number of a new input like `tensor`, which is another network's."""
    graph = model.subgraphs[0]
    tensor = copy.deepcopy(tensor)
    tensor.buffer = 0
    graph.tensors.append(tensor)
    graph.inputs = [*graph.inputs, len(graph.tensors) - 1]
    return int(graph.inputs[-1])


if __name__ == "__main__":
    source, source_whole, target, target_whole = map(Path, sys.argv[1:])
    style, whole = bundle.read(source), unpack(source_whole.read_bytes())
    segments = {name: unpack(style.files[name]) for name in ("encoder.tflite", "decoder1.tflite", "decoder2.tflite")}
    first, second, *_, decoder1, decoder2, _ = convolved(whole)
    add(whole, decoder1, second)
    add(whole, decoder2, first)
    encoder = segments["encoder.tflite"].subgraphs[0]
    planes = convolved(segments["encoder.tflite"])[:2]
    encoder.outputs = [*encoder.outputs, *planes]
    for name, plane in zip(("decoder2.tflite", "decoder1.tflite"), planes):
        decoder = segments[name]
        add(decoder, convolved(decoder)[0], taken(decoder, encoder.tensors[plane]))
    fields = style.manifest.model_dump(exclude_none=True)
    fields.pop("files")
    fields.update(format=KEEPING, name="tiny_kept", sizes={"stride": 4, "min": 16, "max": 2048})
    fields["plans"] = [plan for plan in fields["plans"] if plan["name"] == "split"]
    files = {name: quantised_ends(model) for name, model in segments.items()}
    bundle.write(target, fields, {**files, "preview.jpg": style.files["preview.jpg"]})
    target_whole.write_bytes(quantised_ends(whole))
