"""Every byte of every file in `tests/data/sops`, changed in two ways, and every class of mutation: what is refused.

    python -m tests.bench.sops_mutations [--step N]

Prints one row for each file and ends with 1 if a change was taken that altered an encrypted value, if an error was none
of the room's own, or if one showed a plaintext, a ciphertext or key text.
"""

import argparse
import sys
import time
from collections.abc import Iterator

from tests.sops.fixtures import Fixture, fixtures
from tests.sops.mutations import ANY, CLASSES, Subject, flipped_bytes, judge


class _Watch:
    """Fails for an error that shows a value of the file or a key."""

    def __init__(self, subject: Subject, fixture: Fixture) -> None:
        held = {leaf.plaintext.decode("latin-1") for leaf in subject.open(subject.content).leaves()}
        self._secrets = [text for text in held if len(text) > 7 and text != "plain text"]
        lines = [line for key in fixture.secrets.values() for line in key.splitlines()]
        self._secrets += ["ENC[", *(line for line in lines if len(line) > 40)]

    def __call__(self, error: BaseException) -> None:
        shown = " ".join(f"{each} {each!r}" for each in _chain(error))
        for secret in self._secrets:
            if secret in shown:
                raise AssertionError(f"an error shows {secret[:12]!r}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The errors that a traceback would print; formatting thousands of them would take longer than all the rest."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _subject(fixture: Fixture) -> Subject:
    file = f"s.{fixture.name.rpartition('.')[2]}"
    return Subject(content=fixture.content, format=fixture.format, identities=fixture.age_identities(), file=file)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=int, default=1)
    step = parser.parse_args().step
    total = [0, 0, 0]
    print("| file | bytes | refused | opened, values as they were | faults |\n|---|---|---|---|---|")
    began_s = time.process_time()
    for name, fixture in fixtures().items():
        if fixture.needs_gpg:
            continue
        subject = _subject(fixture)
        watch = _Watch(subject, fixture)
        verdicts = [judge(subject, flipped_bytes(subject.content, step), ANY, watch)]
        verdicts += [judge(subject, mutate(subject.content), kinds, watch) for mutate, kinds in CLASSES.values()]
        refused, harmless = sum(each.refused for each in verdicts), sum(each.harmless for each in verdicts)
        faults = [fault for each in verdicts for fault in each.faults]
        total = [total[0] + refused, total[1] + harmless, total[2] + len(faults)]
        print(f"| {name} | {len(subject.content)} | {refused} | {harmless} | {len(faults)} |", flush=True)
        for fault in faults[:5]:
            print(f"  {fault}")
    print(
        f"{total[0]} refused, {total[1]} harmless, {total[2]} faults; {time.process_time() - began_s:.0f} s of one core"
    )
    return 1 if total[2] else 0


if __name__ == "__main__":
    sys.exit(main())
