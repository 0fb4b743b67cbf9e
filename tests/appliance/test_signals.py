"""Signals at the worst moment. These run in processes of their own, because the test is that they end."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from appliance.host.signals import handled

ROOT = Path(__file__).parents[2]

AT_EVERY_STEP = """
import os, signal, sys, threading
sys.path.insert(0, "tests/appliance")
from steps import interrupted_at_each_step
from appliance.host.signals import handled

stop = threading.Event()

def signalled():
    os.kill(os.getpid(), signal.SIGTERM)  # its handler runs before this returns

def wait():
    stop.clear()
    stop.wait(0)
    stop.set()

with handled({signal.SIGTERM: stop.set}):
    print(interrupted_at_each_step(wait, signalled, within="threading.py"))
"""

HAMMER = """
import os, signal, threading
from appliance.host.signals import handled

came = threading.Event()
COUNT = 30000

def send():
    for _ in range(COUNT):
        os.kill(os.getpid(), signal.SIGHUP)

with handled({signal.SIGHUP: came.set}):
    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(COUNT):
        came.wait(0.0001)
        came.clear()
    sender.join()
print(COUNT)
"""


@pytest.mark.parametrize("script", [AT_EVERY_STEP, HAMMER], ids=["at every step", "30,000"])
def test_a_signal_during_a_wait_for_what_its_action_sets(script):
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=str(ROOT), stdout=subprocess.PIPE, universal_newlines=True, timeout=120
    )
    assert done.returncode == 0 and int(done.stdout) > 50


def test_each_signal_has_its_action_and_then_what_was_before():
    came = {number: threading.Event() for number in (signal.SIGUSR1, signal.SIGUSR2)}
    before = signal.signal(signal.SIGUSR1, lambda *_: None), signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    mine = signal.getsignal(signal.SIGUSR1)
    try:
        with handled({number: event.set for number, event in came.items()}):
            for number, event in came.items():
                signal.pthread_kill(threading.main_thread().ident, number)
                assert event.wait(30)
        assert (signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGUSR2)) == (mine, signal.SIG_IGN)
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGUSR2, before[1])


def test_once_the_second_does_what_it_did_before():
    first, second = threading.Event(), []
    before = signal.signal(signal.SIGUSR1, lambda *_: second.append(1))
    try:
        with handled({signal.SIGUSR1: first.set}, once=True):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            assert first.wait(30) and second == []
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        assert second == [1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_exception_inside_propagates_and_the_thread_ends():
    threads = threading.active_count()
    with pytest.raises(KeyError):
        with handled({signal.SIGUSR1: lambda: None}):
            raise KeyError
    assert threading.active_count() == threads
