"""Has npm install what a lock file pins, once for all processes of a test run.

Several workers may need one folder at the same time: the first installs, the others wait for it. A folder counts as
installed when npm has written its own list of what is there, which it does at the end.
"""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

COMMAND = ("ci", "--no-audit", "--no-fund", "--ignore-scripts")


def installed(folder: Path, timeout_s: float = 240) -> Path:
    """The folder, with what its `package-lock.json` names."""
    npm = shutil.which("npm")
    assert npm is not None, f"installing what {folder} needs takes npm"
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"catwalk-npm-{name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "node_modules" / ".package-lock.json").is_file():
            subprocess.run([npm, *COMMAND], cwd=folder, check=True, timeout=timeout_s, capture_output=True)
    return folder
