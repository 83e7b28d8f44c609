"""The pages by the rules of axe-core: nothing serious, in light and dark, on a desk and on a phone."""

import json
import shutil
from pathlib import Path

import pytest

from tests.npm import installed as npm_installed

RULES = Path(__file__).parent / "node"
PAGES = ("/", "/?label=env%3Dprod", "/servers/weather", "/revisions/a1b2c3d", "/audit", "/servers/nobody")
RUN = """axe.run(document, { resultTypes: ["violations"] }).then((found) => JSON.stringify(
  found.violations.map((one) => [one.impact, one.id, one.nodes.map((node) => node.target.join(" ")).slice(0, 3)])))"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm to fetch the rules with")
    return (npm_installed(RULES) / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.registry
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_pages_break_no_serious_rule(address, browser, axe, width, dark):
    for path in PAGES:
        await browser.look(address + path, width=width, dark=dark)
        await browser.evaluate(axe + "; undefined")
        found = json.loads(str(await browser.evaluate(RUN)))
        assert [one for one in found if one[0] in {"serious", "critical"}] == [], path
