"""`python -m tests.fuzz [--inputs N] [--long]`: hostile inputs in numbers, each target in a process of its own.

Says inputs, coverage, seconds and memory. Exits 1 when a promise is broken, and leaves the input in build/fuzz.
"""

import argparse
import importlib.util
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import List, Tuple

from .targets import FOUND

PROPERTIES = 3  # tests in test_properties.py that take FUZZ_EXAMPLES
_COVERAGE = re.compile(r"DONE\s+cov: (\d+) ft: (\d+)")
_MEMORY = re.compile(r"stat::peak_rss_mb:\s+(\d+)")
_DONE = re.compile(r"stat::number_of_executed_units: (\d+)")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100000, metavar="N")
    parser.add_argument("--long", action="store_true", help="ten times as many, others each time")
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: atheris is not installed: make fuzz installs it", file=sys.stderr)
        return 1
    inputs = arguments.inputs * (10 if arguments.long else 1)
    seed = random.randrange(1, 1 << 31) if arguments.long else 1
    shutil.rmtree(str(FOUND), ignore_errors=True)
    began = time.monotonic()
    properties, bundles = inputs // 100 * PROPERTIES, inputs * 6 // 10
    with ThreadPoolExecutor(2) as both:
        one = both.submit(lambda: [_guided("bundle", bundles, seed), _trials(inputs // 2000, seed)])
        other = both.submit(
            lambda: [_guided("settings", inputs - bundles - properties, seed), _properties(properties, seed)]
        )
        results = one.result() + other.result()
    total = sum(count for count, _ in results)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"fuzz: {total} inputs in {time.monotonic() - began:.0f} s ({used.ru_utime + used.ru_stime:.0f} s of CPU), "
        f"seed {seed}"
    )
    return 0 if all(fine for _, fine in results) else 1


def _guided(target: str, inputs: int, seed: int) -> Tuple[int, bool]:
    folder = FOUND / target  # Atheris' own: what has crashed or never ended, which targets.py could not tell
    code, text, seconds = _run([sys.executable, "-m", "tests.fuzz.guided", target, str(folder), str(inputs), str(seed)])
    done, coverage, memory = (pattern.search(text) for pattern in (_DONE, _COVERAGE, _MEMORY))
    if code or not (done and coverage and memory):
        print("\n".join(text.splitlines()[-40:]))
        print(f"fuzz: {target}: FAILED: what did it is in {FOUND}: fix it, and move that to tests/fuzz/regressions")
        return int(done.group(1)) if done else 0, False
    print(
        f"fuzz: {target}: {done.group(1)} inputs, {coverage.group(1)} branches ({coverage.group(2)} with how often), "
        f"{seconds:.0f} s, {memory.group(1)} MB",
        flush=True,
    )
    return int(done.group(1)), True


def _properties(inputs: int, seed: int) -> Tuple[int, bool]:
    each = inputs // PROPERTIES
    os.environ["FUZZ_EXAMPLES"] = str(each)
    code, text, seconds = _run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--hypothesis-seed={seed}",
            "tests/fuzz/test_properties.py",
        ]
    )
    if code:
        print(text)
        print(f"fuzz: properties: FAILED: what did it is in {FOUND}: fix it, and move that to tests/fuzz/regressions")
        return 0, False
    print(f"fuzz: properties: {each * PROPERTIES} inputs, {seconds:.0f} s", flush=True)
    return each * PROPERTIES, True


def _trials(runs: int, seed: int) -> Tuple[int, bool]:
    code, text, seconds = _run([sys.executable, "-m", "tests.fuzz.trials", str(runs), str(seed)])
    print(text if code else f"fuzz: {runs} trial runs of changed networks: {text.strip()}, {seconds:.0f} s", flush=True)
    return 0, not code


def _run(command: List[str]) -> Tuple[int, str, float]:
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode(errors="replace"), time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
