"""Counts the work of the models whose Coral Dev Board latencies are published, for benchmarks/latencies.py.

    git clone https://github.com/google-coral/test_data ../test_data
    pip install tf-slim==1.1.0
    python -m benchmarks.published ../test_data --slim ../models/research/slim

Where Google's own .tflite file is at hand, it is read. The other models are counted in the graphs of the code that
defines them (Keras applications, TF-Slim), with the normalisation folded away: the same convolutions, but their files
were not seen. What cannot be had is left out, with a line on stderr. Prints the lines of MODELS.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from trainer.edgetpu import reader
from trainer.edgetpu.cost import Layer, layers_of, segment
from trainer.quiet import import_tensorflow, quiet

# name, files of google-coral/test_data or the definition, size of the input, ms on the Dev Board, ms on its CPU alone:
# https://coral.ai/docs/edgetpu/benchmarks/
PUBLISHED = (
    (
        "MobileNet v1",
        ("mobilenet_v1_1.0_224_quant_embedding_extractor", "tools/mobilenet_quant_v1_224_head_layers"),
        224,
        2.4,
        164,
    ),
    ("MobileNet v2", ("mobilenet_v2_1.0_224_quant",), 224, 2.6, 122),
    ("Inception v1", "slim.inception_v1", 224, 4.1, 392),
    ("Inception v4", "slim.inception_v4", 299, 102, 3157),
    ("ResNet-50 v1", "keras.ResNet50", 299, 56, 1763),
    ("ResNet-50 v2", "keras.ResNet50V2", 299, 59, 1875),
    ("ResNet-152 v2", "keras.ResNet152V2", 299, 151, 5499),
    ("VGG16", "keras.VGG16", 224, 343, 4595),
    ("VGG19", "keras.VGG19", 224, 357, 5538),
)
CLASSES = 1001


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.published", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="a clone of google-coral/test_data")
    parser.add_argument("--slim", type=Path, metavar="DIR", help="research/slim of tensorflow/models, for Inception v4")
    arguments = parser.parse_args(argv)
    import_tensorflow()
    if arguments.slim:
        sys.path.insert(0, str(arguments.slim))
    for name, source, size, ms, cpu_ms in PUBLISHED:
        try:
            with quiet():
                layers = count(source, size, arguments.folder)
        except (OSError, ImportError) as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
            continue
        label = " + ".join(source) if isinstance(source, tuple) else source
        row = {"name": name, "ms": ms, "cpu_ms": cpu_ms, "source": label, **features(layers, 3 * size**2, CLASSES)}
        print(f"    {row},")
    try:
        whole, rest = (
            tflite(arguments.folder / f"deeplabv3_mnv2_pascal_quant{tail}.tflite") for tail in ("", "_edgetpu")
        )
    except OSError as error:
        print(f"left out: DeepLab v3: {error}", file=sys.stderr)
        return 0
    mapped = list(whole[0])
    for layer in rest[0]:  # what stands outside the compiled part runs on the CPU
        mapped.remove(layer)
    row = (
        {"ms": 241}
        | features(mapped, 3 * 513**2, 33 * 33 * 256 + 256)
        | {"cpu_macs": sum(layer.macs for layer in rest[0])}
    )
    print(f"DEEPLAB = {row | {'cpu_resized': rest[1]}}")
    return 0


def features(layers, bytes_in: int, bytes_out: int) -> dict:
    """MACs by kind, parameter and boundary bytes (int8), as the rows of MODELS have them."""
    kinds = {"conv": 0, "depthwise": 0, "dense": 0}
    for layer in layers:
        kinds["depthwise" if layer.depthwise else "dense" if layer.pixels == layer.taps == 1 else "conv"] += layer.macs
    return {
        **{f"macs_{kind}": macs for kind, macs in kinds.items()},
        "parameters": segment(layers, [(1, 1)], [(1, 1)]).parameters,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
    }


def count(source, size: int, folder: Path) -> list[Layer]:
    """The layers of a model: of .tflite files in a row, or of a definition. Raises OSError or ImportError."""
    if isinstance(source, tuple):
        return [layer for file in source for layer in tflite(folder / f"{file}.tflite")[0]]
    import tensorflow as tf

    package, name = source.split(".")
    if package == "keras":
        import keras

        model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))
        traced = tf.function(lambda x: model(x, training=False)).get_concrete_function(
            tf.TensorSpec((1, size, size, 3))
        )
        return graph(traced.graph)
    with tf.Graph().as_default() as traced:
        images = tf.compat.v1.placeholder(tf.float32, (1, size, size, 3))
        if name == "inception_v4":
            from nets.inception_v4 import inception_v4

            inception_v4(images, CLASSES, is_training=False, create_aux_logits=False)
        else:
            from tf_slim.nets.inception_v1 import inception_v1

            inception_v1(images, CLASSES, is_training=False)
    return graph(traced)


def graph(traced) -> list[Layer]:
    """The convolutions and products of a TensorFlow graph."""
    layers = []
    for node in traced.get_operations():
        if node.type in ("Conv2D", "DepthwiseConv2dNative"):
            high, wide, inputs, _ = map(int, node.inputs[1].shape)
            _, height, width, channels = map(int, node.outputs[0].shape)
            deep = node.type == "DepthwiseConv2dNative"
            layers.append(Layer(height * width, high * wide, 1 if deep else inputs, channels, depthwise=deep))
        elif node.type == "MatMul":
            layers.append(Layer(1, 1, *map(int, node.inputs[1].shape)))
    return layers


def tflite(path: Path) -> tuple[list[Layer], int]:
    """The convolutions of a .tflite file, and how many numbers its bilinear resizes make. Raises OSError."""
    model = reader.read(path.read_bytes())
    resizes = (op.outputs[0] for op in model.operations if op.name == "RESIZE_BILINEAR")
    return layers_of(model), sum(map(reader.weight, resizes))


if __name__ == "__main__":
    sys.exit(main())
