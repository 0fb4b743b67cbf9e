"""The TensorFlow Lite runtimes of this machine, behind one way to load a model."""

import importlib
import os
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

from ..errors import Problem
from ..parts import Interpreter, Load

TPU_DEVICE = "/dev/apex_0"


@dataclass(frozen=True)
class Runtime:
    """A way to run models: `load(data)` returns an interpreter with its tensors allocated.

    `name` and `version` are the package's, `device` is "TPU" or "CPU". A runtime that `unrolls` needs, for a
    convolution, twice the memory of its input times the size of its kernel. `load(data, height)` then returns an
    interpreter whose input has `height` rows, if the model allows it.
    """

    name: str
    version: str
    device: str
    load: Load
    unrolls: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


def runtimes(threads: int = 0, reference: bool = False) -> List[Runtime]:
    """The runtimes that work here, fastest first: pycoral on an Edge TPU, ai_edge_litert, tflite_runtime.

    `threads` is how many CPU threads an interpreter may use (0: one per CPU). `reference` selects the CPU's reference
    kernels, which give the same bits everywhere. Raises Problem when there is none.
    """
    threads = threads or os.cpu_count() or 1
    found = []
    if not reference and os.path.exists(TPU_DEVICE):
        found += _attempt(_pycoral)
    for package in ("ai_edge_litert", "tflite_runtime"):
        found += _attempt(_on_cpu, package, threads, reference)
    if not found:
        raise Problem(
            "no TensorFlow Lite runtime: pip install ai-edge-litert on a workstation, "
            "apt install python3-tflite-runtime on the board"
        )
    return found


def edge_tpu_runtime() -> Optional[int]:
    """The version of the Edge TPU runtime, of which compiled segments need a minimum; None without pycoral."""
    try:
        text = importlib.import_module("pycoral.utils.edgetpu").get_runtime_version()
        found = re.search(r"RuntimeVersion\((\d+)\)", text)
        return int(found.group(1)) if found else None
    except Exception:  # not installed, or another version of it
        return None


def _attempt(make: Callable[..., Runtime], *arguments: Any) -> List[Runtime]:
    try:
        return [make(*arguments)]
    except Exception:  # not installed, or built for another NumPy: importing it fails in many ways
        return []


def _pycoral() -> Runtime:
    # The package index has an unrelated `pycoral`; only Google's has this module.
    edgetpu = importlib.import_module("pycoral.utils.edgetpu")
    if not edgetpu.list_edge_tpus():
        raise ImportError("no Edge TPU")
    version = getattr(importlib.import_module("pycoral"), "__version__", "")
    return Runtime("pycoral", version, "TPU", lambda data, height=0: _allocated(edgetpu.make_interpreter(data), height))


def _on_cpu(package: str, threads: int, reference: bool) -> Runtime:
    module = importlib.import_module(package + ".interpreter")
    options: Dict[str, Any] = {"num_threads": threads}
    if reference:
        options["experimental_op_resolver_type"] = module.OpResolverType.BUILTIN_REF
    version = getattr(importlib.import_module(package), "__version__", "")
    return Runtime(
        package,
        version,
        "CPU",
        lambda data, height=0: _allocated(module.Interpreter(model_content=data, **options), height),
        unrolls=package == "tflite_runtime",
    )


def _allocated(interpreter: Any, height: int = 0) -> Interpreter:
    if height:
        end = interpreter.get_input_details()[0]
        interpreter.resize_tensor_input(end["index"], [1, height, *end["shape"][2:]])
    interpreter.allocate_tensors()
    allocated: Interpreter = interpreter
    return allocated
