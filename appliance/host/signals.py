"""Acting on signals outside their handlers.

A handler runs between two bytecodes of the main thread, whatever locks that thread holds. If it needs one of them, as
Event.set does during an Event.wait, it deadlocks. So the handlers here do nothing: the interpreter writes each signal's
number to a pipe (signal.set_wakeup_fd), and a thread reads it.
"""

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Callable, Iterator, Mapping, Optional


@contextlib.contextmanager
def handled(actions: Mapping[int, Callable[[], None]], once: bool = False) -> Iterator[None]:
    """Call `actions[number]`, in a thread of its own, for each signal `number` that arrives in the `with` block.

    `once`: only for the first of each number; the next one has its effect from outside the block. Call this in the main
    thread.
    """
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in actions}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def act() -> None:
        while True:
            numbers = os.read(reader, 4096)
            if not numbers:
                return
            for number in numbers:
                if number in actions:  # the numbers of other signals with a handler are written too
                    actions[number]()

    def handler(number: int, frame: Optional[FrameType]) -> None:
        if once:
            signal.signal(number, before[number])

    thread = threading.Thread(target=act, name="signals", daemon=True)
    with contextlib.ExitStack() as stack:  # undone from the last line up
        stack.callback(os.close, reader)
        thread.start()
        stack.callback(thread.join)
        stack.callback(os.close, writer)  # this ends the thread
        stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer, warn_on_full_buffer=False))
        for number, previous in before.items():
            stack.callback(signal.signal, number, previous)
            signal.signal(number, handler)
        yield
