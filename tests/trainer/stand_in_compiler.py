#!/usr/bin/env python3
"""NOT the Edge TPU compiler: a stand-in that takes its options and says what it says, for tests of those who call it.

$STAND_IN sets what it does with each model, a JSON object of {model name without .tflite: behaviour}; a name
may be left without its size, and "*" is the rest. Behaviours: mapped, partial, large, unquantised, internal, crash,
hang, missing (leaves no file).
A "compiled" model is the model itself. Every call is noted in $STAND_IN_LOG.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

BANNER = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.
"""
MODEL = """
Input model: {source}
Input size: 1.25MiB
Output model: {target}
Output size: 1.40MiB
On-chip memory used for caching model parameters: 1.22MiB
On-chip memory remaining for caching model parameters: 6.10MiB
Off-chip memory used for streaming uncached model parameters: {streamed}
Number of Edge TPU subgraphs: 1
Total number of operations: {total}
Operation log: {log}
"""
PARTIAL = """
Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model will \
instead run on the CPU, which is slower. If possible, consider updating your model to use only operations supported by \
the Edge TPU. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: 11
Number of operations that will run on CPU: 3
"""
MAPPED_ROWS = """
Operator                       Count      Status

ADD                            2          Mapped to Edge TPU
CONV_2D                        12         Mapped to Edge TPU
"""
PARTIAL_ROWS = """
Operator                       Count      Status

CONV_2D                        9          Mapped to Edge TPU
CONV_2D                        1          More than one subgraph is not supported
ADD                            2          Mapped to Edge TPU
TRANSPOSE_CONV                 2          Operation is otherwise supported, but not mapped due to some \
unspecified limitation
"""
END = "Compilation child process completed within timeout period.\nCompilation succeeded! \n"
FAILURES = {
    "large": "Compilation failed due to large activation tensors in model.",
    "unquantised": "Invalid model: {source}\nModel not quantized",
    "internal": "Internal compiler error. Aborting!",
}


def main(arguments):
    folder = Path(arguments[arguments.index("--out_dir") + 1])
    models = [Path(argument) for argument in arguments if argument.endswith(".tflite")]
    log = Path(os.environ["STAND_IN_LOG"])
    with log.open("a") as log:
        log.write(json.dumps([model.name for model in models]) + "\n")
    behaviours = json.loads(os.environ["STAND_IN"])
    print(BANNER, flush=True)
    for model in models:
        name = model.stem if model.stem in behaviours else model.stem.rpartition("_")[0]
        behaviour = behaviours.get(name, behaviours.get("*"))
        if behaviour == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if behaviour == "hang":
            time.sleep(3600)
        if behaviour in FAILURES:
            print(FAILURES[behaviour].format(source=model), "Compilation failed! ", sep="\n")
            return 1
        target = folder / f"{model.stem}_edgetpu.tflite"
        partial = behaviour == "partial"
        print(
            f"Model compiled successfully in 2653 ms.\n{MODEL}".format(
                source=model,
                target=target,
                log=target.with_suffix(".log"),
                total=14,
                streamed="175.00KiB" if partial else "0.00B",
            ),
            end="",
        )
        print((PARTIAL + PARTIAL_ROWS) if partial else MAPPED_ROWS, end="")
        if behaviour != "missing":
            target.write_bytes(model.read_bytes())
    print(END)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
