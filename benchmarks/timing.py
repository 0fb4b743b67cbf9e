"""Medians of times, and how they are printed."""

import statistics
import time


def median_ms(function, repeats: int) -> float:
    for _ in range(3):
        function()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def rows(title: str, measured: dict[str, float], baseline: str) -> None:
    print(f"\n{title}")
    for name, milliseconds in measured.items():
        print(f"  {name:44} {milliseconds:9.3f} ms  {milliseconds / measured[baseline]:6.2f}x")
