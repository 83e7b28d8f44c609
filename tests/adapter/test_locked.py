"""A package that is locked runs only when what was downloaded has a locked digest: real packages, right and wrong."""

from pathlib import Path

import anyio
import pytest
from mcp import Client

from gateway.adapter.install.integrity import pypi_requirement, verify_npm
from gateway.adapter.options import parse_options
from gateway.adapter.package import parse_package
from tests.adapter.support import Start

MEMORY = "npm:@modelcontextprotocol/server-memory@2026.8.31"
TIME = "pypi:mcp-server-time@2026.10.19"
RIGHT = {
    MEMORY: "sha512-ljj/3S4aGjxdNSQWw6gucKKGnTLdBPWxzapyY/MT2tOVyZwvxChvevXSLPwx59nKJAlVpUVW+cOlnVRXRwiqMQ==",
    TIME: "sha256:5c099a001c6ca78260bda419f2e9b2aabee1adc4fe6ca56d8959871ad8da58a1",
}
WRONG = {MEMORY: "sha512-" + "A" * 86 + "==", TIME: "sha256:" + "0" * 64}


@pytest.mark.registry
@pytest.mark.timeout(300)
@pytest.mark.parametrize("package", [MEMORY, TIME], ids=["npm", "pypi"])
async def test_a_locked_package_runs(start: Start, tmp_path: Path, package: str):
    options = ("--cache-dir", str(tmp_path), f"--integrity={WRONG[package]}", f"--integrity={RIGHT[package]}")
    adapter = start(package, options=options)
    adapter.wait_for("ready", timeout_s=240)
    with anyio.fail_after(30):
        async with Client(adapter.url, mode="legacy") as client:
            assert (await client.list_tools()).tools
    assert adapter.stop() == 0


@pytest.mark.registry
@pytest.mark.timeout(300)
@pytest.mark.parametrize("package", [MEMORY, TIME], ids=["npm", "pypi"])
def test_a_package_with_another_digest_never_runs(start: Start, tmp_path: Path, package: str):
    for _ in range(2):  # What the first start left is not taken for good by the second.
        adapter = start(
            package, options=("--cache-dir", str(tmp_path), f"--integrity={WRONG[package]}", "--linger", "1")
        )
        body = adapter.wait_for("failed", timeout_s=240)
        assert (body["cause"], "catwalk.lock" in body["detail"]) == ("integrity-mismatch", True), body
        assert adapter.ends() == 83


@pytest.mark.parametrize(
    ("record", "passes"),
    [
        ('{"packages": {"node_modules/tool": {"integrity": "sha512-AAAA"}}}', True),
        ('{"packages": {"node_modules/tool": {"integrity": "sha1-BBBB sha512-AAAA"}}}', True),
        ('{"packages": {"node_modules/tool": {"integrity": "sha512-BBBB"}}}', False),
        ('{"packages": {"node_modules/tool": {}}}', False),
        ("{", False),
        (None, False),
    ],
    ids=["same", "one of several", "other", "no digest", "broken", "no record"],
)
def test_what_npm_verified_is_compared_with_the_lock(tmp_path: Path, record: str | None, passes: bool):
    if record is not None:
        (tmp_path / "node_modules").mkdir()
        (tmp_path / "node_modules" / ".package-lock.json").write_text(record, encoding="utf-8")
    package = parse_package("npm:tool@1.0.0")
    verify_npm(tmp_path, package, ())
    if passes:
        verify_npm(tmp_path, package, ("sha512-AAAA",))
    else:
        with pytest.raises(Exception, match=r"catwalk\.lock"):
            verify_npm(tmp_path, package, ("sha512-AAAA",))


def test_digests_are_handed_to_uv_in_its_form():
    line = pypi_requirement("tool", "1.0", ["sha256:a", "sha256:b"])
    assert line == "tool==1.0 --hash=sha256:a --hash=sha256:b"


def test_what_is_no_digest_is_refused(capsys: pytest.CaptureFixture[str]):
    options = parse_options([f"--integrity={WRONG[TIME]}", "--", TIME])
    assert options.integrity == (WRONG[TIME],)
    with pytest.raises(SystemExit):
        parse_options(["--integrity=md5:x", "--", TIME])
    assert "no digest" in capsys.readouterr().err
