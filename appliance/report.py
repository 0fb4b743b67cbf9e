"""What the daemon says about itself: the document that `reconet status` reads."""

from typing import Optional

from .display.announcer import Announcer
from .host.status import Status
from .host.tpu import Tpu
from .pipeline import Counters
from .snapshot import Snapshot
from .style.manifest import size_name


def report(
    styles: Snapshot,
    counters: Counters,
    screen: Announcer,
    camera: Optional[str],
    heat: Optional[Tpu],
    config_fault: Optional[str],
    uptime: float,
) -> Status:
    """`camera`: what is in use, or what is wrong with it. `uptime` in seconds."""
    style, slate = styles.style, screen.slate
    return Status(
        style=style.name if style else None,
        digest=style.digest if style else None,
        plan=style.plan if style else None,
        size=size_name(style.size) if style else None,
        measured_fps=style.fps if style else None,
        target_fps=style.target if style else None,
        why=style.why if style else None,
        runtime=f"{style.runtime} ({style.device})" if style else None,
        pinned=styles.pinned,
        slate=": ".join(filter(None, slate)) if slate else screen.notice,
        brightness=styles.brightness,
        camera=camera,
        display=screen.fault or screen.mode,
        config=config_fault,
        fps=counters.recent_fps,
        ms=counters.median_ms,
        shown=counters.shown,
        dropped=counters.dropped,
        longest_gap_ms=1000 * counters.longest_gap,
        temperature=heat.temperature if heat else None,
        clock_mhz=heat.clock_mhz if heat else None,
        hot=bool(heat and heat.hot),
        refused=list(styles.reasons.values()),
        uptime=uptime,
    )
