"""`python -m tests.fuzz.trials RUNS SEED`: changed networks in the interpreter, each in a process of its own.

Says how the trials ended. A crash is no fault: one that took this process along would be.
"""

import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from appliance import trial
from appliance.errors import BundleError
from appliance.style import bundle

from . import mutations

DATA = Path(__file__).parents[1] / "data"
TINY, KEPT = DATA / "tiny.reconet", DATA / "tiny_kept.reconet"


def main(runs: str, seed: str) -> None:
    dice, ends = random.Random(int(seed)), Counter()
    seeds = mutations.bundle_seeds(TINY.read_bytes(), KEPT.read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "changed.reconet"
        while sum(ends.values()) < int(runs):
            path.write_bytes(_changed(seeds[dice.choice(sorted(seeds))], dice))
            try:
                bundle.read(path)
            except BundleError:
                continue
            reason = trial.passes(path)
            ends[
                "passed"
                if reason is None
                else "crashed"
                if "crashed" in reason
                else "took too much"
                if "longer" in reason or "memory" in reason
                else "failed"
            ] += 1
    print(", ".join(f"{count} {end}" for end, count in ends.most_common()))


def _changed(data: bytes, dice) -> bytes:
    members = mutations.unzipped(data)
    number = dice.choice([number for number, (name, _) in enumerate(members) if name.endswith(".tflite")])
    name, network = members[number]
    # Numbers that are small or negative are structure; weights are noise.
    places = [at for at in range(8, len(network) - 4, 4) if network[at + 2 : at + 4] in (b"\0\0", b"\xff\xff")]
    members[number] = name, mutations.scratched(network, places, dice)
    return mutations.with_manifest(members, lambda fields: fields)


if __name__ == "__main__":
    main(*sys.argv[1:])
