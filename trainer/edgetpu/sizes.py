"""Finds by trial for which picture sizes the networks of a bundle can be built."""

from appliance.errors import BundleError
from appliance.style.check import check_files
from appliance.style.manifest import FORMAT, build

STRIDES = (1, 2, 4, 8, 16, 32, 64)
LEAST, MOST = 16, 2048  # pixels of a side


def with_sizes(fields: dict, files: dict[str, bytes]) -> dict:
    """The manifest `fields` in the newest format, with the smallest stride at which every plan of `files` fits.

    A manifest that has sizes keeps them. The result has no "sizes" if the networks hold an operator of unknown size.
    Compiled segments, which format 1 has in its stages, become the plan's set for the stored size. Raises BundleError.
    """
    made = {**fields, "format": FORMAT, "plans": [_plan(plan, fields["input"]) for plan in fields["plans"]]}
    if made.get("sizes"):
        return made
    stored = [fields["input"][side] for side in ("width", "height")]
    for stride in STRIDES:
        sizes = {"stride": stride, "min": min(LEAST, *stored), "max": max(MOST, *stored)}
        if any(side % stride for side in stored):
            break
        try:
            check_files(build({**made, "sizes": sizes, "files": {}}), files)
        except BundleError:
            continue
        return {**made, "sizes": sizes}
    return made


def _plan(plan: dict, stored: dict) -> dict:
    segments = [stage for stage in plan["stages"] if "segment" in stage]
    compiled = [stage["edgetpu"] for stage in segments if stage.get("edgetpu")]
    stages = [{key: value for key, value in stage.items() if key != "edgetpu"} for stage in plan["stages"]]
    if not compiled or len(compiled) < len(segments):
        return {**plan, "stages": stages}
    return {**plan, "stages": stages, "edgetpu": {f"{stored['width']}x{stored['height']}": compiled}}
