"""The first process of a machine: starts one command, and lets nothing of it outlive the engine.

Started as `python -I -S init.py STATUS_FD ENGINE_PID STDIN_FD`, one per running machine and executed command, so it
imports only what CPython has loaded anyway: a supervisor must cost little memory and no CPU while it waits.

Standard input is the line to the engine. First comes one frame, a decimal length, a newline, and fields joined by NUL:
working directory, the `cgroup.procs` file of a control group or nothing, number of arguments, the arguments, then
`NAME=value` pairs. The environment travels here and not in the supervisor's own, so that a machine's variables cannot
change how its supervisor runs. Afterwards the line carries commands, one a line: `signal NUMBER` and `kill`. SIGSTOP
and SIGCONT reach every descendant, because a machine is suspended as a whole; any other signal reaches the command
alone.

How each death is met:
- The engine ends or is killed: its end of the line closes, and every descendant is killed. The kernel also sends
  SIGUSR2 when the engine's thread ends (PR_SET_PDEATHSIG); the signal of a mere thread is told from that of the process
  by asking who the parent is, so machines may be started from any thread.
- The command ends: what it left behind is killed, and the exit is reported as `exit CODE SIGNAL` on STATUS_FD.
- The supervisor is killed: the kernel kills the command (its own PR_SET_PDEATHSIG), and the engine sweeps the rest.

As a child subreaper (PR_SET_CHILD_SUBREAPER) it inherits every orphan below it: when `waitpid` knows no child, nothing
is left. Where prctl does not exist (not Linux) the process group of the command is all that can be killed.
"""

import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
NOT_STARTED = 127
"""Exit code of a command that could not be executed, as shells use it."""
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
FREEZING = (signal.SIGSTOP, signal.SIGCONT)
READ_SIZE = 65536
KILL_PAUSE_MS = 10


def prctl(option: int, value: int) -> None:
    """Best effort: without prctl the line to the engine still ends the command."""
    if not sys.platform.startswith("linux"):
        return
    # ctypes costs a megabyte, so it is imported only where it is of use.
    import ctypes  # noqa: PLC0415 - see above.

    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def read_order() -> tuple[tuple[str, str], list[str], dict[str, str], bytes]:
    """Working directory and control group, arguments, environment, and what already came after the frame."""
    received = b""
    while b"\n" not in received:
        received += read_or_leave()
    length, _, received = received.partition(b"\n")
    while len(received) < int(length):
        received += read_or_leave()
    fields = [os.fsdecode(field) for field in received[: int(length)].split(b"\0")]
    last = 3 + int(fields[2])
    pairs = (field.partition("=") for field in fields[last:])
    return (fields[0], fields[1]), fields[3:last], {name: value for name, _, value in pairs}, received[int(length) :]


def read_or_leave() -> bytes:
    chunk = os.read(0, READ_SIZE)
    if not chunk:
        os._exit(0)
    return chunk


def start(place: tuple[str, str], argv: list[str], environment: dict[str, str], stdin_fd: int) -> int:
    """The process id of the command, which leads a session and a process group of its own."""
    supervisor = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        become(supervisor, place, stdin_fd)
        os.execvpe(argv[0], argv, environment)  # noqa: S606 - no shell is wanted; the caller gave an argument list.
    except OSError as error:
        os.write(2, f"cannot run {argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(NOT_STARTED)


def become(supervisor: int, place: tuple[str, str], stdin_fd: int) -> None:
    """Runs between fork and exec, in the child."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (*FORWARDED, signal.SIGUSR2, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        # The supervisor was killed before the kernel knew what to do about it.
        os._exit(NOT_STARTED)
    os.dup2(stdin_fd, 0)
    workdir, group = place
    if group:
        # By itself and before it is the command, so that nothing of the command is ever outside.
        with open(group, "w") as processes:  # noqa: PTH123 - pathlib would double the supervisor's memory.
            processes.write("0")
    os.chdir(workdir)


def descendants() -> list[int]:
    """Every process below this one. Empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - pathlib would double the supervisor's memory.
    except OSError:
        return []
    for name in names:
        if name.isdigit():
            children.setdefault(parent_of(name), []).append(int(name))
    found: list[int] = []
    queue = [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def parent_of(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - pathlib would double the supervisor's memory.
            # The name in parentheses may itself hold spaces and parentheses.
            return int(stat.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def send_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def kill_all(command: int) -> None:
    """Kills and reaps until nothing is left; a process that forks faster than one round meets the next round."""
    while True:
        send_group(command, signal.SIGKILL)
        for pid in descendants():
            send(pid, signal.SIGKILL)
        if not reap_until_quiet():
            return
        select.poll().poll(KILL_PAUSE_MS)


def reap_until_quiet() -> bool:
    """Whether children are left that have not ended yet."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


class Supervision:
    """One command, from its start to the report of its end."""

    def __init__(self, command: int, engine: int, commands: bytes) -> None:
        self.command = command
        self.engine = engine
        self.pending = commands
        self.status: int | None = None

    def watch(self, wakeup: int) -> None:
        """Returns when the command has ended, or leaves the process when the engine has."""
        poll = select.poll()
        poll.register(0, select.POLLIN | select.POLLHUP)
        poll.register(wakeup, select.POLLIN)
        self.obey()
        self.reap()
        while self.status is None:
            for descriptor, _ in poll.poll():
                if descriptor == 0:
                    self.listen()
                else:
                    self.answer_signals(os.read(wakeup, READ_SIZE))
            self.reap()

    def listen(self) -> None:
        chunk = os.read(0, READ_SIZE)
        if not chunk:
            self.leave()
        self.pending += chunk
        self.obey()

    def leave(self) -> None:
        """The engine is gone: nothing may stay, and nobody is left to tell."""
        kill_all(self.command)
        os._exit(0)

    def obey(self) -> None:
        *lines, self.pending = self.pending.split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            if word == b"signal":
                self.signal(int(number))
            elif word == b"kill":
                send_group(self.command, signal.SIGKILL)
                for pid in descendants():
                    send(pid, signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Twice for all, because a process may fork between look and stop; its child is found by the second look."""
        send(self.command, number)
        for _ in range(2 if number in FREEZING else 0):
            for pid in descendants():
                send(pid, number)

    def answer_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGUSR2:
                if os.getppid() != self.engine:
                    self.leave()
            elif number in FORWARDED:
                send(self.command, number)

    def reap(self) -> None:
        """Takes the exit of the command, and of every orphan that was handed to this process."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == self.command:
                    self.status = status
                if pid == 0:
                    return
        except ChildProcessError:
            return


def listen_to_signals() -> int:
    """A descriptor that becomes readable with the number of each signal that arrives."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in (*FORWARDED, signal.SIGUSR2, signal.SIGCHLD):
        signal.signal(number, arrived)
    return readable


def arrived(_number: int, _frame: object) -> None:
    """Does nothing: a handler must be there for the wake-up descriptor to be written to."""


def main() -> None:
    status_fd, engine, stdin_fd = (int(word) for word in sys.argv[1:4])
    os.set_inheritable(status_fd, False)
    os.set_inheritable(stdin_fd, False)
    wakeup = listen_to_signals()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGUSR2)
    if os.getppid() != engine:
        os._exit(0)
    place, argv, environment, rest = read_order()
    supervision = Supervision(start(place, argv, environment, stdin_fd), engine, rest)
    supervision.watch(wakeup)
    kill_all(supervision.command)
    report(status_fd, supervision.status or 0)


def report(status_fd: int, status: int) -> None:
    code = os.waitstatus_to_exitcode(status)
    number = max(-code, 0)
    try:
        os.write(status_fd, f"exit {128 + number if number else code} {number}\n".encode())
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
