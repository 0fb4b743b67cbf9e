"""The daemon's status in Prometheus's text format, version 0.0.4."""

from typing import Iterator, Optional, Tuple

from ..host.status import Status

KIND = "text/plain; version=0.0.4; charset=utf-8"

_Sample = Tuple[str, str, str, Optional[float]]  # name and labels, type, help, value


def metrics(status: Optional[Status], viewers: int) -> str:
    """`status`: None while the daemon does not run. Units are seconds, degrees Celsius and frames."""
    lines, described = [], set()
    for name, kind, text, value in _samples(status, viewers):
        family = name.split("{")[0]
        if family not in described:
            described.add(family)
            lines += [f"# HELP {family} {text}", f"# TYPE {family} {kind}"]
        if value is not None:
            lines.append(f"{name} {value:.10g}")
    return "\n".join(lines) + "\n"


def _samples(status: Optional[Status], viewers: int) -> Iterator[_Sample]:
    yield "reconet_up", "gauge", "Whether the daemon runs.", float(status is not None)
    yield "reconet_web_viewers", "gauge", "Viewers of the picture.", viewers
    if status is None:
        return
    yield "reconet_uptime_seconds", "gauge", "Since the daemon started.", status.uptime
    yield "reconet_fps", "gauge", "Frames shown per second during the last five seconds.", status.fps
    yield "reconet_target_fps", "gauge", "Frames per second that the size was chosen for.", status.target_fps
    yield "reconet_frames_shown_total", "counter", "Frames shown since the daemon started.", status.shown
    yield "reconet_frames_dropped_total", "counter", "Camera frames that were dropped.", status.dropped
    longest = status.longest_gap_ms / 1000
    yield "reconet_longest_gap_seconds", "gauge", "Longest time between two frames in the last minute.", longest
    for stage, milliseconds in status.ms.items():
        name = f'reconet_stage_seconds{{stage="{_escaped(stage)}"}}'
        yield name, "gauge", "Median time that a frame spends in a stage.", milliseconds / 1000
    yield "reconet_tpu_temperature_celsius", "gauge", "Temperature of the Edge TPU.", status.temperature
    yield "reconet_tpu_hot", "gauge", "Whether the Edge TPU is slowed by its heat.", float(status.hot)
    yield "reconet_refused_styles", "gauge", "Bundles that were refused.", len(status.refused)
    if status.style:
        labels = {"style": status.style, "plan": status.plan, "size": status.size, "runtime": status.runtime}
        text = ",".join(f'{name}="{_escaped(value or "")}"' for name, value in labels.items())
        yield f"reconet_style_info{{{text}}}", "gauge", "What runs; the value is always 1.", 1.0


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
