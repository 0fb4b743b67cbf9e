"""What the daemon says about itself: the document that `reconet status` reads."""

from typing import Dict, Optional

from .display.announcer import Announcer
from .host import systemd
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
        off=styles.off,
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


class Changes:
    """A line in the journal for every change."""

    def __init__(self) -> None:
        self._faults: Dict[str, Optional[str]] = {}
        self._uses: Dict[str, str] = {}

    def faults(self, **faults: Optional[str]) -> None:
        """What is wrong with each part now, None with what is fine."""
        for name, fault in faults.items():
            if fault != self._faults.get(name):
                self._faults[name] = fault
                text = fault or f"{name.replace('_', ' ')} is fine again"
                systemd.log(text, systemd.WARNING if fault else systemd.NOTICE)

    def uses(self, **uses: Optional[str]) -> None:
        """What of each part is in use now, None where nothing is."""
        for name, use in uses.items():
            if use and use != self._uses.get(name):
                self._uses[name] = use
                systemd.log(f"{name}: {use}", systemd.NOTICE)
