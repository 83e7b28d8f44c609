"""How long a thousand secret files take to open: unwrapped, decrypted, verified, and held against their places.

    python -m tests.bench.sops_files --files 1000 --rounds 5

One core, one age key, files as `catwalk secrets set` writes them. The bound is two seconds of processor time.
"""

import argparse
import statistics
import sys
import time
from datetime import UTC, datetime

import pyrage

from reconciler.core.secret import SecretValue
from reconciler.sops.identities import load_identities
from reconciler.sops.secret_file import read_secret_file
from reconciler.sops.writing.creation import Encryption
from reconciler.sops.writing.recipients import age_keys
from reconciler.sops.writing.secret_files import new_secret_file

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECONDS = 2.0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    identity = pyrage.x25519.Identity.generate()
    identities = load_identities({"SOPS_AGE_KEY": str(identity)})
    encryption = Encryption(keys=age_keys(str(identity.to_public())))
    began_s = time.process_time()
    files = {
        f"acme/server-{number}/TOKEN": new_secret_file(
            SecretValue(f"value {number}"), f"acme/server-{number}/TOKEN", encryption, file="s.yaml", last_modified=NOW
        )
        for number in range(given.files)
    }
    print(f"{given.files} files written: {time.process_time() - began_s:.2f} s")
    took: list[float] = []
    for _ in range(given.rounds):
        began_s = time.process_time()
        for number, (place, content) in enumerate(files.items()):
            value = read_secret_file(content, identities, file="s.yaml", place=place)
            assert value.reveal() == f"value {number}"
        took.append(time.process_time() - began_s)
    print(f"{given.files} files opened: median {statistics.median(took):.2f} s, worst {max(took):.2f} s of one core")
    return 0 if statistics.median(took) <= SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
