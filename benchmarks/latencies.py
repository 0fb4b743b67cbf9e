"""Latencies that others measured on an Edge TPU, and the work in each model, for benchmarks/fit.py.

MODELS: a Coral Dev Board, https://coral.ai/docs/edgetpu/benchmarks/ (C++ benchmark, preprocessing left out); `ms` on
the Edge TPU, `cpu_ms` on the board's Cortex-A53 alone. `source` is what benchmarks/published.py counted: .tflite files
of google-coral/test_data, or the definition in Keras 3.15 or TF-Slim where those files were not at hand. MACs by kind;
int8 bytes of parameters and of both ends. Models of that page that are not here: DenseNet, SqueezeNet (the variant is
not said), U-Net, the SSDs and the EfficientNets (files not at hand), and Inception-ResNet v2, whose 69 ms is less than
its 56 MB of parameters, if it is the known one, need to cross the link.

USB: USB Accelerators. `mcycles` are the compiler's own estimate, in millions, out of the compiled file, or where `macs`
is given our count by its formula. `parameters`, `in`, `back` and `streamed` are MB: of kernels, and over the link.

- chain: iwatake2222/EdgeTPU_Analysis 1f5fbce4, Result.xlsx, sheet Ops_conv: N convolutions 7x7, 32 to 32 channels,
  128x128, a few bytes at the ends; on a Jetson Nano at 10 W, USB 3. A USB trace beside it has 50 of them answered in
  40.2 ms, with the chip's clock set to 500 MHz.
- mobilenet: the same file, sheets Ops_etc and InOut_MobileNetV2.
- prisma: anilsathyan7/Portrait-Segmentation dbf69b02, README: prisma_quant, a laptop, clock and port not said.
"""

MODELS = (
    {
        "name": "MobileNet v1",
        "ms": 2.4,
        "cpu_ms": 164,
        "source": "mobilenet_v1_1.0_224_quant_embedding_extractor + tools/mobilenet_quant_v1_224_head_layers",
        "macs_conv": 550330368,
        "macs_depthwise": 17385984,
        "macs_dense": 1025024,
        "parameters": 4257892,
        "bytes_in": 150528,
        "bytes_out": 1001,
    },
    {
        "name": "MobileNet v2",
        "ms": 2.6,
        "cpu_ms": 122,
        "source": "mobilenet_v2_1.0_224_quant",
        "macs_conv": 278777856,
        "macs_depthwise": 20716416,
        "macs_dense": 1281280,
        "parameters": 3543268,
        "bytes_in": 150528,
        "bytes_out": 1001,
    },
    {
        "name": "Inception v1",
        "ms": 4.1,
        "cpu_ms": 392,
        "source": "slim.inception_v1",
        "macs_conv": 1497352192,
        "macs_depthwise": 0,
        "macs_dense": 1025024,
        "parameters": 6643492,
        "bytes_in": 150528,
        "bytes_out": 1001,
    },
    {
        "name": "Inception v4",
        "ms": 102,
        "cpu_ms": 3157,
        "source": "slim.inception_v4",
        "macs_conv": 12252438624,
        "macs_depthwise": 0,
        "macs_dense": 1537536,
        "parameters": 42747524,
        "bytes_in": 268203,
        "bytes_out": 1001,
    },
    {
        "name": "ResNet-50 v1",
        "ms": 56,
        "cpu_ms": 1763,
        "source": "keras.ResNet50",
        "macs_conv": 7209827072,
        "macs_depthwise": 0,
        "macs_dense": 2048000,
        "parameters": 25613152,
        "bytes_in": 268203,
        "bytes_out": 1001,
    },
    {
        "name": "ResNet-50 v2",
        "ms": 59,
        "cpu_ms": 1875,
        "source": "keras.ResNet50V2",
        "macs_conv": 6534163200,
        "macs_depthwise": 0,
        "macs_dense": 2048000,
        "parameters": 25613152,
        "bytes_in": 268203,
        "bytes_out": 1001,
    },
    {
        "name": "ResNet-152 v2",
        "ms": 151,
        "cpu_ms": 5499,
        "source": "keras.ResNet152V2",
        "macs_conv": 20208773888,
        "macs_depthwise": 0,
        "macs_dense": 2048000,
        "parameters": 60347232,
        "bytes_in": 268203,
        "bytes_out": 1001,
    },
    {
        "name": "VGG16",
        "ms": 343,
        "cpu_ms": 4595,
        "source": "keras.VGG16",
        "macs_conv": 15346630656,
        "macs_depthwise": 0,
        "macs_dense": 123633664,
        "parameters": 138397792,
        "bytes_in": 150528,
        "bytes_out": 1001,
    },
    {
        "name": "VGG19",
        "ms": 357,
        "cpu_ms": 5538,
        "source": "keras.VGG19",
        "macs_conv": 19508428800,
        "macs_depthwise": 0,
        "macs_dense": 123633664,
        "parameters": 143711328,
        "bytes_in": 150528,
        "bytes_out": 1001,
    },
)

# DeepLab v3 at 513x513: the part that is compiled; what is left to the CPU, by google-coral's compiled file.
DEEPLAB = {
    "ms": 241,
    "macs_conv": 2454892256,
    "macs_depthwise": 137143008,
    "macs_dense": 81920,
    "parameters": 2009152,
    "bytes_in": 789507,
    "bytes_out": 279040,
    "cpu_macs": 148591872,
    "cpu_resized": 5828202,
}


def _chain(layers: int, ms: float, streamed: float) -> dict:
    macs = 128 * 128 * 49 * (4 * 32 + (layers - 1) * 32 * 32)  # the first takes 3 channels, which count as 4
    row = {"name": f"{layers} convolutions", "source": "chain", "ms": ms, "mcycles": macs / 1024e6}
    return row | {"parameters": 0.0502 * layers, "in": 0.0, "back": 0.0, "streamed": streamed}


USB = (
    _chain(10, 7.82, 0.0),
    _chain(25, 20.13, 0.0),
    _chain(50, 40.73, 0.0),
    _chain(75, 61.60, 1.11),
    _chain(100, 82.66, 2.36),
    _chain(150, 124.43, 4.88),
    _chain(200, 166.02, 7.39),
    _chain(250, 207.57, 9.91),
    _chain(300, 249.12, 12.43),
    {
        "name": "MobileNet v1",
        "source": "mobilenet",
        "ms": 2.41,
        "mcycles": 0.686,
        "parameters": 4.26,
        "in": 0.1505,
        "back": 0.001,
        "streamed": 0.0,
    },
    {
        "name": "MobileNet v2",
        "source": "mobilenet",
        "ms": 2.53,
        "mcycles": 0.458,
        "parameters": 3.54,
        "in": 0.1505,
        "back": 0.001,
        "streamed": 0.0,
    },
    {
        "name": "MobileNet v2 without its last layer",
        "source": "mobilenet",
        "ms": 3.81,
        "mcycles": 0.457,
        "parameters": 2.26,
        "in": 0.1505,
        "back": 0.0627,
        "streamed": 0.0,
    },
    {
        "name": "PRISMA-Net",
        "source": "prisma",
        "ms": 12.2,
        "mcycles": 1.749,
        "parameters": 1.12,
        "in": 0.1966,
        "back": 0.2621,
        "streamed": 0.0,
    },
)

# The link of a USB Accelerator, from models that do next to nothing (the same Result.xlsx, sheets InOut_stride and
# InOut_padding): a call alone; 196,608 bytes in; 196,608 out, which leave the chip as 262,144. USB 3 at 10 W, USB 2.
USB_LINK = {
    "usb3": {"call": 0.292, "in": (0.924 - 0.292) / 0.1966, "back": (8.769 - 0.293) / 0.2621},
    "usb2": {"call": 0.372, "in": (5.811 - 0.372) / 0.1966, "back": (22.397 - 0.357) / 0.2621},
}

# Measured, and not used by the fit. libredgetpu drives the chip from Python and takes 4.0 ms for the MobileNet v1 that
# takes Google's runtime 2.4. (name, ms, mcycles, MB of parameters, in, back)
LIBREDGETPU = (
    ("MobileNet v1", 4.0, 0.686, 4.26, 0.1505, 0.001),
    ("MobileNet v2", 4.3, 0.458, 3.54, 0.1505, 0.001),
    ("Inception v1", 5.4, 1.463, 6.64, 0.1505, 0.001),
    ("PoseNet 641x481", 17.4, 2.617, 1.39, 0.925, 0.153),
    ("DeepLab v3 513x513", 26.5, 3.624, 2.34, 0.790, 0.279),
)
# google-coral/edgetpu#502: a U-Net over USB. No count of work explains a factor of 75 for 11 times the pixels.
CLIFF = (("128x128", 3.3), ("896x208", 250.0), ("1152x128", 275.0))
