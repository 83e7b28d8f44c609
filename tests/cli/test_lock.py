"""`catwalk lock` against a registry of our own: what it writes, what it refuses to change, and what it upgrades."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.main import run
from reconciler.core.releases import Links
from reconciler.core.types import Registry
from reconciler.core.upgrades import changes_page, is_newer
from reconciler.errors import SourceError
from reconciler.sources.manifest_versions import with_package
from tests.sources.local_registry import SIMPLE_JSON, LocalRegistry, local_registry, simple_file, wheel

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm tells its settings and is not here")

MANIFEST = """\
# The fleet of the tests.
apiVersion: catwalk.dev/v1
fleet: acme
servers:
  clock: {package: 'pypi:clock-mcp@1.0'}  # what time is it
  tool:
    package: "npm:tool-mcp@1.0.0"   # two spaces before this comment
  loose:
    package: npm:tool-mcp
"""
ONE, TWO = "sha512-" + "A" * 86 + "==", "sha512-" + "B" * 86 + "=="


def packument(integrity: str = ONE) -> dict[str, object]:
    def version(number: str, digest: str) -> dict[str, object]:
        return {
            "bin": {"tool-mcp": "cli.js", "setup": "setup.js"},
            "repository": {"url": "git+https://github.com/acme/tool.git"},
            "dist": {"tarball": f"http://x/tool-mcp-{number}.tgz", "integrity": digest},
        }

    return {
        "dist-tags": {"latest": "1.10.0"},
        "time": {
            "created": "2025-01-01T00:00:00Z",
            "1.0.0": "2025-01-01T00:00:00.123Z",
            "1.10.0": "2026-01-02T00:00:00Z",
        },
        "versions": {"1.0.0": version("1.0.0", integrity), "1.10.0": version("1.10.0", TWO)},
    }


def put_clock(registry: LocalRegistry, *versions: str) -> None:
    files = []
    for version in versions:
        name, content = (
            f"clock_mcp-{version}-py3-none-any.whl",
            wheel("clock_mcp", version, scripts="clock-mcp = c:main"),
        )
        files.append(simple_file(name, content, **{"upload-time": "2025-03-04T05:06:07.89Z"}))
        registry.put(f"/simple/clock-mcp/{name}", content)
    page = {"meta": {"api-version": "1.1"}, "name": "clock-mcp", "versions": list(versions), "files": files}
    registry.put("/simple/clock-mcp/", page, media_type=SIMPLE_JSON)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRegistry]:
    with local_registry() as local:
        monkeypatch.setenv("npm_config_registry", local.url)
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{local.url}/simple")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        local.put("/tool-mcp", packument(), headers={"Cache-Control": "no-store"})
        put_clock(local, "1.0")
        yield local


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / "catwalk.yaml").write_text(MANIFEST, encoding="utf-8")
    return folder


def lock(fleet: Path, *arguments: str) -> int:
    return run(["lock", "-C", str(fleet), *arguments])


def text_of(fleet: Path) -> str:
    return (fleet / "catwalk.lock").read_text(encoding="utf-8")


def test_a_lock_says_exactly_what_runs(
    registry: LocalRegistry, fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lock(fleet) == 0
    assert "wrote" in capsys.readouterr().out
    text = text_of(fleet)
    assert [line for line in text.splitlines() if not line.strip().startswith("resolved:")] == [
        "# Made by `catwalk lock`: commit it beside its manifest, and do not edit it.",
        "lockVersion: 1",
        "servers:",
        "  clock:",
        '    program: "pypi:clock-mcp"',
        '    version: "1.0"',
        '    executable: "clock-mcp"',
        '    published: "2025-03-04T05:06:07Z"',
        "    files:",
        *[line for line in text.splitlines() if "clock_mcp-1.0" in line],
        "  loose:",
        '    program: "npm:tool-mcp"',
        '    version: "1.10.0"',
        '    executable: "tool-mcp"',
        '    published: "2026-01-02T00:00:00Z"',
        "    files:",
        f'      "tool-mcp-1.10.0.tgz": "{TWO}"',
        "  tool:",
        '    program: "npm:tool-mcp"',
        '    version: "1.0.0"',
        '    executable: "tool-mcp"',
        '    published: "2025-01-01T00:00:00Z"',
        "    files:",
        f'      "tool-mcp-1.0.0.tgz": "{ONE}"',
    ]  # fmt: skip


def test_locking_again_changes_nothing(
    registry: LocalRegistry, fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lock(fleet, "--check") == 1
    assert not (fleet / "catwalk.lock").exists()
    assert lock(fleet) == 0
    text = text_of(fleet)
    put_clock(registry, "1.0", "2.0")
    assert lock(fleet) == 0
    assert lock(fleet, "--check") == 0
    assert text_of(fleet) == text
    assert "up to date" in capsys.readouterr().out


def test_a_spoilt_lock_is_made_anew(registry: LocalRegistry, fleet: Path) -> None:
    (fleet / "catwalk.lock").write_text("<<<<<<< ours\n", encoding="utf-8")
    assert lock(fleet) == 0
    assert "lockVersion: 1" in text_of(fleet)


def test_another_content_under_a_locked_version_is_an_alarm(
    registry: LocalRegistry, fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lock(fleet) == 0
    text = text_of(fleet)
    registry.put("/tool-mcp", packument("sha512-" + "C" * 86 + "=="), headers={"Cache-Control": "no-store"})
    shutil.rmtree(Path(os.environ["HOME"]))
    assert lock(fleet) == 1
    assert text_of(fleet) == text
    assert "integrity-mismatch" in capsys.readouterr().err
    assert run(["validate", str(fleet)]) == 1
    said = capsys.readouterr().out
    assert "catwalk.lock:" in said
    assert "[integrity-mismatch]" in said


def test_a_changed_manifest_makes_its_lock_outdated(
    registry: LocalRegistry, fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lock(fleet) == 0
    (fleet / "catwalk.yaml").write_text(MANIFEST.replace("tool-mcp@1.0.0", "tool-mcp@1.10.0"), encoding="utf-8")
    capsys.readouterr()
    assert run(["validate", "--offline", str(fleet)]) == 1
    assert "[lock-outdated]" in capsys.readouterr().out
    assert lock(fleet) == 0
    assert run(["validate", "--offline", str(fleet)]) == 0


def test_a_server_that_cannot_be_locked_keeps_its_entry_and_the_others_get_theirs(
    registry: LocalRegistry, fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.put("/tool-mcp", "down", status=503)
    assert lock(fleet) == 3
    assert "clock:" in text_of(fleet)
    assert "tool:" not in text_of(fleet)
    assert "registry-unavailable" in capsys.readouterr().err


def test_an_upgrade_changes_versions_and_nothing_else(
    registry: LocalRegistry, fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_clock(registry, "1.0", "2.0", "3.0a1")
    assert lock(fleet, "--upgrade", "--check", "--json") == 1
    proposed = json.loads(capsys.readouterr().out)
    assert [(each["server"], each["from"], each["to"], each["changes"]) for each in proposed["upgrades"]] == [
        ("clock", "1.0", "2.0", "https://example.org/clock_mcp/changes"),
        ("loose", "", "1.10.0", "https://github.com/acme/tool/releases"),
        ("tool", "1.0.0", "1.10.0", "https://github.com/acme/tool/releases"),
    ]
    assert (fleet / "catwalk.yaml").read_text(encoding="utf-8") == MANIFEST
    assert lock(fleet, "--upgrade", "clock") == 0
    changed = MANIFEST.replace("clock-mcp@1.0", "clock-mcp@2.0")
    assert (fleet / "catwalk.yaml").read_text(encoding="utf-8") == changed
    assert lock(fleet, "--upgrade") == 0
    changed = changed.replace("tool-mcp@1.0.0", "tool-mcp@1.10.0")
    assert (fleet / "catwalk.yaml").read_text(encoding="utf-8") == changed
    assert lock(fleet, "--check") == 0


def test_an_environment_is_locked_and_upgraded_for_itself(registry: LocalRegistry, fleet: Path) -> None:
    overlay = "fleet: acme-staging\nservers:\n  clock: {package: 'pypi:clock-mcp@1.0'} # slow\n"
    (fleet / "catwalk.staging.yaml").write_text(overlay, encoding="utf-8")
    put_clock(registry, "1.0", "2.0")
    assert lock(fleet, "--environment", "staging", "--upgrade", "clock") == 0
    assert (fleet / "catwalk.yaml").read_text(encoding="utf-8") == MANIFEST
    assert "clock-mcp@2.0'} # slow" in (fleet / "catwalk.staging.yaml").read_text(encoding="utf-8")
    assert not (fleet / "catwalk.lock").exists()
    assert '"2.0"' in (fleet / "catwalk.staging.lock").read_text(encoding="utf-8")
    assert lock(fleet) == 0
    assert run(["validate", "--offline", str(fleet)]) == 0


def test_a_policy_that_wants_everything_pinned_is_met_by_a_lock(registry: LocalRegistry, fleet: Path) -> None:
    strict = MANIFEST.replace("servers:", "policy: {pinned: required}\nservers:")
    (fleet / "catwalk.yaml").write_text(strict, encoding="utf-8")
    assert run(["validate", "--offline", str(fleet)]) == 1
    assert lock(fleet) == 0
    assert run(["validate", "--offline", str(fleet)]) == 0


def test_commits_and_images_are_locked_and_folders_need_no_lock(
    registry: LocalRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit, digest = "0123456789abcdef0123456789abcdef01234567", "sha256:" + "d" * 64
    (tmp_path / "other" / "notes").mkdir(parents=True)
    fleet = tmp_path / "other"
    (fleet / "notes" / "package.json").write_text("{}", encoding="utf-8")
    http = "transport: {type: streamable-http, port: 3000}"
    servers = (
        f"  wiki: {{git: {{url: 'https://example.org/wiki', commit: {commit}, directory: server}}}}\n"
        f"  search: {{image: 'ghcr.io/acme/search@{digest}', {http}}}\n"
        f"  loose: {{image: 'ghcr.io/acme/search:1', {http}}}\n"
        "  notes: {directory: ./notes}\n"
    )
    (fleet / "catwalk.yaml").write_text(
        f"apiVersion: catwalk.dev/v1\nfleet: acme\nservers:\n{servers}", encoding="utf-8"
    )
    assert lock(fleet) == 1
    assert "unpinned-image" in capsys.readouterr().err
    lines = [line for line in text_of(fleet).splitlines()[3:] if "resolved" not in line]
    assert lines == [
        "  search:",
        '    program: "image:ghcr.io/acme/search"',
        f'    version: "{digest}"',
        "  wiki:",
        '    program: "git:https://example.org/wiki//server"',
        f'    version: "{commit}"',
    ]
    moved = servers.replace(commit, commit[::-1])
    (fleet / "catwalk.yaml").write_text(f"apiVersion: catwalk.dev/v1\nfleet: acme\nservers:\n{moved}", encoding="utf-8")
    assert run(["validate", "--offline", str(fleet)]) == 1
    said = capsys.readouterr().out
    assert "[lock-outdated]" in said
    assert "warning: image:ghcr.io/acme/search:1 does not stand in catwalk.lock [not-locked]" in said
    assert registry.calls == []


def test_a_server_that_does_not_exist_cannot_be_upgraded(registry: LocalRegistry, fleet: Path) -> None:
    assert lock(fleet, "--upgrade", "nonesuch") == 1
    assert lock(fleet, "clock") == 2


@pytest.mark.parametrize(
    ("written", "result"),
    [
        ("    package: npm:a@1.0.0 # why\n", "    package: npm:b@2.0.0 # why\n"),
        ("    package: 'npm:a@1.0.0'\n", "    package: 'npm:b@2.0.0'\n"),
        ('    "package":   "npm:a@1.0.0"\n    args: [x]\n', '    "package":   "npm:b@2.0.0"\n    args: [x]\n'),
    ],
    ids=["plain", "single quotes", "double quotes"],
)
def test_a_version_is_replaced_where_it_stands(written: str, result: str) -> None:
    head = "\ufeffapiVersion: catwalk.dev/v1\r\nfleet: ä\nservers:\n  x:\n"
    changed = with_package((head + written).encode(), "x", "npm:b@2.0.0", file="catwalk.yaml")
    assert changed.decode() == head + result


@pytest.mark.parametrize(
    ("servers", "tail"),
    [
        ("  x: {package: &p npm:a@1.0.0}\n", ""),
        ("  y: {package: &p npm:a@1.0.0}\n  x: {package: *p}\n", ""),
        ("  x: {package: npm:a@1.0.0}\n", "sops: {mac: x}\n"),
        ("  x:\n    package: >-\n      npm:a@1.0.0\n", ""),
    ],
    ids=["anchor", "alias", "sealed", "folded"],
)
def test_a_version_that_cannot_be_replaced_safely_is_refused_with_its_place(servers: str, tail: str) -> None:
    content = f"fleet: a\nservers:\n{servers}{tail}".encode()
    with pytest.raises(SourceError, match=r"catwalk\.yaml:\d+") as refusal:
        with_package(content, "x", "npm:b@2.0.0", file="catwalk.yaml")
    assert refusal.value.problem.code == "version-not-written"


@pytest.mark.parametrize(
    ("registry_kind", "candidate", "than", "newer"),
    [
        (Registry.NPM, "1.10.0", "1.9.0", True),
        (Registry.NPM, "1.0.0", "1.0.0-rc.1", True),
        (Registry.NPM, "1.0.0-rc.10", "1.0.0-rc.9", True),
        (Registry.NPM, "1.0.0", "2.0.0-beta.1", False),
        (Registry.NPM, "1.0.0", "", True),
        (Registry.PYPI, "2026.10.19", "2026.9.30", True),
        (Registry.PYPI, "1.0", "1.0.0", False),
        (Registry.PYPI, "1.0", "nonsense", False),
    ],
)
def test_which_version_is_newer(registry_kind: Registry, candidate: str, than: str, newer: bool) -> None:
    assert is_newer(registry_kind, candidate, than) is newer


@pytest.mark.parametrize(
    ("links", "page"),
    [
        (Links(changelog="https://x/c", repository="https://github.com/a/b"), "https://x/c"),
        (Links(repository="https://github.com/a/b/tree/main/sub"), "https://github.com/a/b/releases"),
        (Links(repository="https://gitlab.com/a/b"), "https://gitlab.com/a/b"),
        (Links(homepage="https://h"), "https://h"),
        (Links(), ""),
    ],
)
def test_where_changes_are_read(links: Links, page: str) -> None:
    assert changes_page(links) == page
