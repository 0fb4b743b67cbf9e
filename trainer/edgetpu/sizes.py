"""Finds by trial for which picture sizes the networks of a bundle can be built."""

from appliance.errors import BundleError
from appliance.style import tflite
from appliance.style.check import check_files
from appliance.style.manifest import FORMAT, KEEPING, build

STRIDES = (1, 2, 4, 8, 16, 32, 64)
LEAST, MOST = 16, 2048  # pixels of a side


def with_sizes(fields: dict, files: dict[str, bytes]) -> dict:
    """The manifest `fields` in the format that they need, with the smallest stride at which every plan of `files` fits.

    A manifest that has sizes keeps them. The result has no "sizes" if the networks hold an operator of unknown size.
    Compiled segments, which format 1 has in its stages, become the plan's set for the stored size. Raises BundleError.
    """
    plans = [_plan(plan, fields["input"]) for plan in fields["plans"]]
    made = {**fields, "format": format_of(plans, files), "plans": plans}
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


def format_of(plans: list[dict], files: dict[str, bytes]) -> int:
    """KEEPING where a segment keeps a tensor or takes one, else FORMAT. Raises BundleError."""
    segments = {stage["segment"] for plan in plans for stage in plan["stages"] if "segment" in stage}
    models = [tflite.read(files[name]) for name in segments]
    return KEEPING if any(len(ends) > 1 for model in models for ends in (model.inputs, model.outputs)) else FORMAT


def _plan(plan: dict, stored: dict) -> dict:
    segments = [stage for stage in plan["stages"] if "segment" in stage]
    compiled = [stage["edgetpu"] for stage in segments if stage.get("edgetpu")]
    stages = [{key: value for key, value in stage.items() if key != "edgetpu"} for stage in plan["stages"]]
    if not compiled or len(compiled) < len(segments):
        return {**plan, "stages": stages}
    return {**plan, "stages": stages, "edgetpu": {f"{stored['width']}x{stored['height']}": compiled}}
