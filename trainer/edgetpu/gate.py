"""What the board's old runtime and the Edge TPU compiler require of every exported file."""

from appliance.errors import Problem
from trainer.edgetpu.flatbuffer import operation, tensor_type, unpack

# The highest version of each operation that TensorFlow Lite 2.5 loads; 0 where it does not load the operation at all.
HIGHEST = {"TILE": 2, "TRANSPOSE": 5, "TRANSPOSE_CONV": 3, "DEQUANTIZE": 0}
INTEGERS = {"INT8", "UINT8", "INT32", "INT16", "BOOL"}


def faults(data: bytes) -> list[str]:
    """What is wrong with a TFLite file, one line each; empty when it passes."""
    model = unpack(data)
    graph = model.subgraphs[0]
    found = [] if len(model.subgraphs) == 1 else [f"{len(model.subgraphs)} subgraphs, 1 allowed"]
    for operator in graph.operators:
        name, version = operation(model, operator)
        if version > HIGHEST.get(name, version):
            found.append(f"{name} version {version}: the board's runtime cannot run it")
    for tensor in graph.tensors:
        label = tensor.name.decode() if isinstance(tensor.name, bytes) else tensor.name
        if tensor_type(tensor) not in INTEGERS:
            found.append(f"tensor {label}: {tensor_type(tensor)}, the Edge TPU takes integers")
        signature = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
        if any(extent < 0 for extent in (*tensor.shape, *signature)):
            found.append(f"tensor {label}: a dimension is not fixed")
    return found


def check(name: str, data: bytes) -> None:
    """Raises Problem with the first fault of the file called name."""
    for fault in faults(data):
        raise Problem(f"{name}: {fault}")
