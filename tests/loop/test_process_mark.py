"""Marks of processes, against real processes: gone is only what the kernel says is gone."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from reconciler.loop import process_mark
from reconciler.loop.process_mark import mark, surely_gone

PROGRAM = "from reconciler.loop.process_mark import mark; print(mark(), flush=True); input()"

pytestmark = pytest.mark.skipif(not process_mark.BOOT.exists(), reason="this system does not tell its boot")


@contextmanager
def other_process():
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().decode().strip()
        finally:
            process.kill()


def test_a_process_that_runs_is_not_gone_and_marks_itself_anew_each_time():
    assert not surely_gone(mark())
    assert mark() != mark()


def test_a_process_is_gone_once_it_was_killed_also_before_its_parent_noticed():
    with other_process() as (process, marked):
        assert not surely_gone(marked)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert surely_gone(marked)
        process.wait()
        assert surely_gone(marked)


def test_a_process_that_is_only_stopped_is_not_gone():
    with other_process() as (process, marked):
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert not surely_gone(marked)


def test_a_process_whose_number_was_given_to_another_is_gone():
    boot, namespace, pid, start, random = mark().split(".")
    assert surely_gone(".".join((boot, namespace, pid, str(int(start) - 1), random)))


@pytest.mark.parametrize("part", [0, 1])
def test_nothing_is_known_of_another_boot_or_another_namespace(part):
    parts = mark().split(".")
    parts[part], parts[2] = "other", "999999999"
    assert not surely_gone(".".join(parts))


@pytest.mark.parametrize("text", ["", "ab12cd34", "a.b.c"])
def test_nothing_is_known_of_a_mark_of_another_kind(text):
    assert not surely_gone(text)
