"""TFLite flatbuffers as objects: the schema classes come with TensorFlow."""


def unpack(data: bytes):
    """A mutable ModelT."""
    from tensorflow.lite.python import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


def pack(model) -> bytes:
    """The bytes of a ModelT, with TFLite's file identifier."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def operation(model, operator) -> tuple[str, int]:
    """(name, version) of an operator, such as ("CONV_2D", 3)."""
    from tensorflow.lite.python import schema_py_generated as schema

    code = model.operatorCodes[operator.opcodeIndex]
    # Codes up to 127 are in the old one-byte field, later ones in the new field only.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _names(schema.BuiltinOperator)[number], code.version


def tensor_type(tensor) -> str:
    """The name of a tensor's element type, such as "INT8"."""
    from tensorflow.lite.python import schema_py_generated as schema

    return _names(schema.TensorType)[tensor.type]


def _names(enumeration):
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}
