"""How far an installation is stands on `/health`, in words that help and without credentials."""

import os
import stat
from pathlib import Path

import pytest

from gateway.adapter.install.progress import Progress
from tests.adapter.support import Start, poll

NPM = """\
#!/bin/sh
case " $* " in
  *" view "*) echo '{"name": "demo", "version": "1.0.0", "bin": {"demo": "cli.js"}}' ;;
  *) echo "npm warn deprecated nothing"; echo "added 92 packages in 3s"; exec sleep 600 ;;
esac
"""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Resolved 31 packages in 80ms", ["installing x: Resolved 31 packages in 80ms"]),
        ("Downloading numpy (14.2MiB)", ["installing x: Downloading numpy (14.2MiB)"]),
        ("added 92 packages in 3s", ["installing x: added 92 packages in 3s"]),
        ("npm warn deprecated glob@7.2.3", []),
        (" + anyio==4.9.0", []),
        ("", []),
    ],
)
def test_what_an_installer_counted_stands_behind_the_step(line: str, told: list[str]):
    heard: list[str] = []
    progress = Progress(heard.append)
    progress.begin("installing x")
    progress.heard(line)
    assert heard == ["installing x", *told]


def test_health_says_what_is_installed_and_how_much_of_it(start: Start, tmp_path: Path):
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, content in {"npm": NPM, "node": "#!/bin/sh\necho v24.0.0\n"}.items():
        (folder / name).write_text(content, encoding="utf-8")
        (folder / name).chmod(stat.S_IRWXU)
    adapter = start(
        "npm:demo@1.0.0",
        options=("--cache-dir", str(tmp_path / "cache")),
        environment={"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "A_TOKEN": "npm:demo"},
    )

    def told() -> dict[str, object] | None:
        body: dict[str, object] = adapter.health().json() if adapter.events("installing") else {}
        return body if "added" in str(body.get("detail")) else None

    assert poll(told, adapter.text) == {
        "state": "installing",
        "cause": None,
        "detail": "installing [A_TOKEN]@1.0.0: added 92 packages in 3s",
    }
    assert adapter.health().status_code == 503
    assert adapter.stop() == 0
