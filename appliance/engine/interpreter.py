"""The TensorFlow Lite runtimes of this machine, behind one way to load a model."""

import importlib
import os
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..errors import Problem
from ..parts import Interpreter, Load
from . import delegate, devices

_PACKAGES = ("ai_edge_litert", "tflite_runtime")  # the faster one first


@dataclass(frozen=True)
class Runtime:
    """A way to run models: `load(data)` returns an interpreter with its tensors allocated.

    `name` and `version` are the package's or libedgetpu's; `device` is "TPU" or "CPU". A runtime that `unrolls` needs,
    for a convolution, twice its input's memory times its kernel's size. `load(data, height)` then returns an
    interpreter whose inputs have `height` rows, if the model allows it.
    """

    name: str
    version: str
    device: str
    load: Load
    unrolls: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


def runtimes(threads: int = 0, reference: bool = False) -> List[Runtime]:
    """The runtimes that work on this machine, fastest first: those for the Edge TPU, ai_edge_litert, tflite_runtime.

    `threads` is how many CPU threads an interpreter may use (0: one per CPU). `reference` selects the CPU's reference
    kernels, which give the same bits everywhere. Raises Problem when there is none.
    """
    threads = threads or os.cpu_count() or 1
    found = []
    if not reference:
        found += _on_edge_tpus()[0]
    for package in _PACKAGES:
        found += _attempt(_on_cpu, package, threads, reference)
    if not found:
        raise Problem(
            "no TensorFlow Lite runtime: install the package reconet again, or pip install ai-edge-litert on a "
            "workstation, apt install python3-tflite-runtime on the Dev Board"
        )
    return found


def edge_tpu() -> Tuple[Optional[Runtime], Optional[str]]:
    """(runtime, reason): the runtime for the Edge TPU, pycoral or else libedgetpu as a delegate. Without a runtime, one
    line that says why. Both are None when there is no Edge TPU at all. See also `devices.choose`.

    The Edge TPU is not opened, so the first `load` may still fail, also with one line.
    """
    offered, reason = _on_edge_tpus()
    return (offered[0], None) if offered else (None, reason)


def _on_edge_tpus() -> Tuple[List[Runtime], Optional[str]]:
    """(runtimes, reason): pycoral and libedgetpu, as far as they work; without either, as `edge_tpu`."""
    found = devices.found()
    if not found:
        return [], _not_chosen()
    offered, reasons = _attempt(_pycoral), []
    for tpu in found:
        try:
            number = delegate.check(tpu)
        except Problem as problem:
            reasons.append(str(problem))
            continue
        for package in _PACKAGES:
            for runtime in _attempt(_on_edge_tpu, package, tpu, number):
                return offered + [runtime], None
        reasons.append("libedgetpu needs a TensorFlow Lite runtime: pip install ai-edge-litert")
    return offered, reasons[0]


def _not_chosen() -> Optional[str]:
    """Why no Edge TPU may be used although there are some; None when there are none."""
    there, wanted = devices.everything(), devices.chosen()
    if not there:
        return None
    kinds = [tpu.kind for tpu in there]
    names = ", ".join(f"{kind}:{kinds[:place].count(kind)}" for place, kind in enumerate(kinds))
    return f"no Edge TPU {wanted}: this machine has {names}: see engine.device in the configuration"


def _attempt(make: Callable[..., Runtime], *arguments: Any) -> List[Runtime]:
    try:
        return [make(*arguments)]
    except Exception:  # not installed, or built for another NumPy: the import may raise anything
        return []


def _pycoral() -> Runtime:
    # The package index has an unrelated `pycoral`; only Google's has this module.
    edgetpu = importlib.import_module("pycoral.utils.edgetpu")
    if not edgetpu.list_edge_tpus():
        raise ImportError("no Edge TPU")
    device = None if devices.chosen() == devices.AUTO else devices.chosen()
    return Runtime(
        "pycoral",
        _version("pycoral"),
        "TPU",
        lambda data, height=0: _allocated(edgetpu.make_interpreter(data, device), height),
    )


def _on_edge_tpu(package: str, tpu: devices.EdgeTpu, number: int) -> Runtime:
    importlib.import_module(package + ".interpreter")
    # Part of the version, because measurements depend on the link: a stick on USB 2 is slower.
    version = f"{number} with {package} {_version(package)} on {tpu.link}"
    return Runtime("libedgetpu", version, "TPU", lambda data, height=0: delegate.load(package, tpu, data))


def _on_cpu(package: str, threads: int, reference: bool) -> Runtime:
    module = importlib.import_module(package + ".interpreter")
    options: Dict[str, Any] = {"num_threads": threads}
    if reference:
        options["experimental_op_resolver_type"] = module.OpResolverType.BUILTIN_REF
    return Runtime(
        package,
        _version(package),
        "CPU",
        lambda data, height=0: _allocated(module.Interpreter(model_content=data, **options), height),
        unrolls=package == "tflite_runtime",
    )


def _version(package: str) -> str:
    return str(getattr(importlib.import_module(package), "__version__", ""))


def _allocated(interpreter: Any, height: int = 0) -> Interpreter:
    for end in interpreter.get_input_details() if height else ():
        interpreter.resize_tensor_input(end["index"], [1, height, *end["shape"][2:]])
    interpreter.allocate_tensors()
    allocated: Interpreter = interpreter
    return allocated
