"""The adapter runs where nothing but its four libraries is installed, as in the runner image."""

import subprocess
import sys
from pathlib import Path

from tests.adapter.support import ROOT

_PROGRAM = """
import importlib.abc, sys

ALLOWED = set(sys.stdlib_module_names) | {
    "anyio", "sniffio", "idna", "exceptiongroup", "typing_extensions",  # anyio and what it needs
    "uvicorn", "click", "h11", "httptools", "uvloop",  # the server and what it needs
    "gateway",
}

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"{name} is not installed in the runner image", name=name)
        if name.startswith("gateway.") and not name.startswith(("gateway.adapter", "gateway.protocol")):
            raise ModuleNotFoundError(f"{name} is no part of the adapter", name=name)

sys.meta_path.insert(0, Refuse())
import pkgutil, gateway.adapter, gateway.protocol
for package in (gateway.adapter, gateway.protocol):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
import gateway.adapter.__main__
print(sum(name.startswith("gateway.") for name in sys.modules))
"""


def test_every_module_imports_without_the_rest_of_the_project(tmp_path: Path):
    finished = subprocess.run(
        [sys.executable, "-c", _PROGRAM.replace("import importlib.abc, sys", "import importlib, importlib.abc, sys")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) > 40
