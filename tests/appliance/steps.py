"""Interleaving another thread or a signal handler with a function at each of its steps, deterministically."""

import sys


def interrupted_at_each_step(function, interruption, before=lambda: None, within="appliance"):
    """Call `function` repeatedly, the n-th time with `interruption` at its n-th bytecode instruction.

    Counts only instructions in files whose path contains `within`. `before` is called before each call. Returns how
    many calls were interrupted.
    """
    count = 0
    while True:
        before()
        if not _interrupted(function, interruption, count + 1, within):
            return count
        count += 1


def _interrupted(function, interruption, step, within):
    left = [step]

    def trace(frame, event, argument):
        if within not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left[0] -= 1
            if left[0] == 0:
                sys.settrace(None)
                interruption()
        return trace

    tracing = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(tracing)
    return left[0] <= 0
