"""What Google's compiler wrote into a compiled file, read from tiny packages made here."""

import io

import flatbuffers
import pytest
from rich.console import Console

from appliance.errors import Problem
from trainer.edgetpu import darwinn
from trainer.edgetpu.check import report
from trainer.edgetpu.flatbuffer import pack, unpack
from trainer.edgetpu.rules import DELEGATE

from .test_check import convert


def table(builder, fields):
    """A flatbuffer table of {field number: (kind, value)}."""
    builder.StartObject(max(fields, default=-1) + 1)
    for number, (kind, value) in fields.items():
        getattr(builder, f"Prepend{kind}Slot")(number, value, 0)
    return builder.EndObject()


def vector(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def numbers(builder, values):
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependInt32(value)
    return builder.EndVector()


def layer(builder, name, shape, size, tiles=0):
    fields = {0: ("UOffsetTRelative", builder.CreateString(name)), 1: ("Int32", size)}
    fields |= {2 + i: ("Int32", extent) for i, extent in enumerate(shape)}
    if tiles:
        layout = table(builder, {2: ("UOffsetTRelative", numbers(builder, range(tiles)))})
        output = table(builder, {0: ("UOffsetTRelative", layout)})
        fields |= {7: ("Uint8", 1), 8: ("UOffsetTRelative", output)}
    return table(builder, fields)


def executable(kind, cycles=0, narrow=0, parameters=b"", old_cycles=0):
    builder = flatbuffers.Builder()
    stored = builder.CreateByteVector(parameters)
    inputs = vector(builder, [layer(builder, "picture", (8, 16, 3), 384)])
    outputs = vector(builder, [layer(builder, "image", (8, 16, 3), 512, tiles=4)])
    fields = {
        6: ("UOffsetTRelative", stored),
        8: ("UOffsetTRelative", inputs),
        9: ("UOffsetTRelative", outputs),
        11: ("Int32", old_cycles),
        12: ("Int32", narrow),
        13: ("Int16", kind),
        16: ("Int64", cycles),
    }
    builder.Finish(table(builder, fields))
    return bytes(builder.Output())


def package(*executables, runtime=14):
    inner = flatbuffers.Builder()
    programs = vector(inner, [inner.CreateString(one) for one in executables])
    inner.Finish(table(inner, {0: ("UOffsetTRelative", programs)}))
    builder = flatbuffers.Builder()
    stored = builder.CreateByteVector(bytes(inner.Output()))
    builder.Finish(table(builder, {0: ("Int32", runtime), 1: ("UOffsetTRelative", stored)}), file_identifier=b"DWN1")
    return b"\x12\x34 options of the operation " + bytes(builder.Output())


def compiled(options):
    """A .tflite file whose one operation is an Edge TPU operation with these options."""
    import tensorflow as tf

    model = unpack(convert(tf.tanh))
    operator = model.subgraphs[0].operators[0]
    code = model.operatorCodes[operator.opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = 32  # CUSTOM
    code.customCode = DELEGATE
    operator.builtinOptions, operator.builtinOptionsType = None, 0
    operator.customOptions = list(options)
    return pack(model)


@pytest.fixture(scope="module")
def options():
    return package(executable(2, 39_438_352, 92_416, b"streamed"), executable(1, parameters=bytes(1000)))


def test_a_package_is_read(options):
    found = darwinn.read(options)
    assert (found.runtime, found.cycles, found.narrow_memory) == (14, 39_438_352, 92_416)
    assert (found.cached, found.streamed) == (1000, 8)
    execution, caching = found.executables
    assert (execution.kind, caching.kind) == ("execution", "parameter caching")
    assert execution.inputs == (darwinn.Layer("picture", (8, 16, 3), 384, 1),)
    assert execution.outputs == (darwinn.Layer("image", (8, 16, 3), 512, 4),)


def test_the_cycles_of_older_compilers_stand_in_another_field():
    assert darwinn.read(package(executable(0, old_cycles=16))).cycles == 16
    assert darwinn.read(package(executable(0))).cycles == 0


def test_every_damage_is_refused_or_harmless(options):
    for length in range(0, len(options), 7):
        with pytest.raises(Problem):
            darwinn.read(options[:length])
    for place in range(options.find(b"DWN1") - 4, len(options)):
        for value in (0x00, 0x7F, 0xFF):
            broken = bytearray(options)
            broken[place] = value
            try:
                darwinn.read(bytes(broken))
            except Problem as problem:
                assert "\n" not in str(problem)


def test_the_report_of_a_compiled_file_says_what_the_compiler_expected(tmp_path, options):
    path = tmp_path / "x_edgetpu.tflite"
    path.write_bytes(compiled(options))
    console = Console(width=200, file=io.StringIO())
    console.print(report(path))
    text = console.file.getvalue()
    for word in ("39,438,352", "92,416", "1,000", "8x16x3", "512 B", "4 tiles", "14", "8 bytes cross the link"):
        assert word in text


def test_a_compiled_file_with_a_damaged_package_is_refused_in_one_line(tmp_path, options):
    path = tmp_path / "x_edgetpu.tflite"
    path.write_bytes(compiled(options[:200]))
    with pytest.raises(Problem, match="damaged DarwiNN package") as refused:
        report(path)
    assert "\n" not in str(refused.value)
