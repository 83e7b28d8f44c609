"""A crash of any command leaves no memory on the disk."""

import subprocess
import sys

PROGRAM = """\
import resource, sys
from reconciler.cli.main import main
resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, resource.getrlimit(resource.RLIMIT_CORE)[1]))
sys.argv = ["catwalk", "--version"]
try:
    main()
except SystemExit:
    pass
print(resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_a_command_and_what_it_starts_cannot_dump_its_memory():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "(0, 0)"
