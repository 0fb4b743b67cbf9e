"""Coverage-guided: `python -m tests.fuzz.guided bundle|settings FOLDER INPUTS SEED`.

Atheris watches which branches an input reaches and goes on from those that reach new ones. An input that breaks a
promise is left in FOLDER, with a traceback.
"""

import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["appliance", "tomllib"]):
    import tomllib  # noqa: F401 - so that its branches count

    import appliance.config  # noqa: F401
    from appliance.style import bundle  # noqa: F401

from . import mutations, targets

DATA = Path(__file__).parents[1] / "data"
TINY, KEPT = DATA / "tiny.reconet", DATA / "tiny_kept.reconet"


def main(target: str, folder: str, inputs: str, seed: str) -> None:
    if target == "bundle":
        seeds, most = mutations.bundle_seeds(TINY.read_bytes(), KEPT.read_bytes()), 400000
        mutate, promise = mutations.bundle, targets.read_bundle
    else:
        seeds, most = mutations.settings_seeds(), 5000
        mutate, promise = mutations.settings, targets.load_settings
    corpus = Path(folder) / "corpus"
    corpus.mkdir(parents=True)
    for name, data in seeds.items():
        (corpus / name).write_bytes(data)

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        return mutate(data, random.Random(seed))[:most]

    # Atheris' timeout is for what never ends; targets.py has the finer one, of the time that the process really had.
    atheris.Setup(
        [
            sys.argv[0],
            str(corpus),
            f"-runs={inputs}",
            f"-seed={seed}",
            "-timeout=20",
            "-len_control=0",
            f"-max_len={most}",
            f"-rss_limit_mb={targets.MOST_MEGABYTES}",
            f"-artifact_prefix={folder}/",
            "-print_final_stats=1",
        ],
        promise,
        custom_mutator=mutated,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
