"""The manifest reference in schemas/README.md says nothing that is not so."""

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from reconciler.errors import InvalidManifests
from reconciler.sources.manifests import read_manifests
from schemas.v1.document import json_schema

README = (Path(__file__).parents[2] / "schemas" / "README.md").read_text(encoding="utf-8")
DIAGNOSTICS = (Path(__file__).parents[2] / "reconciler" / "sources" / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(
    r"(?<!<!-- overlay -->\n)(?:<!-- refused: (?P<code>[a-z-]+) -->\n)?```yaml\n(?P<text>.*?)```", re.DOTALL
)
EXAMPLES = [(match["code"], match["text"]) for match in EXAMPLE.finditer(README)]


def test_the_reference_holds_good_and_bad_examples() -> None:
    assert sum(code is None for code, _ in EXAMPLES) >= 4
    assert sum(code is not None for code, _ in EXAMPLES) >= 4


@pytest.mark.parametrize("text", [text for code, text in EXAMPLES if code is None])
def test_an_example_of_the_reference_is_accepted(text) -> None:
    assert read_manifests({"catwalk.yaml": text.encode()}).specs
    Draft202012Validator(json_schema()).validate(YAML(typ="safe").load(text))


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, text in EXAMPLES if code is not None])
def test_a_refused_example_of_the_reference_is_refused_for_its_reason(code, text) -> None:
    with pytest.raises(InvalidManifests) as caught:
        read_manifests({"catwalk.yaml": text.encode()})
    assert [problem.code for problem in caught.value.problems] == [code]
    assert f"`{code}`" in DIAGNOSTICS


def test_the_overlay_of_the_reference_fits_over_a_manifest() -> None:
    (overlay,) = re.findall(r"<!-- overlay -->\n```yaml\n(.*?)```", README, re.DOTALL)
    base = next(text for code, text in EXAMPLES if code is None and "  search:" in text and "  time:" in text)
    fleet = read_manifests({"catwalk.yaml": base.encode(), "catwalk.staging.yaml": overlay.encode()}, "staging")
    assert (fleet.fleet, [spec.name for spec in fleet.specs], fleet.warnings) == ("acme-staging", ["time"], ())
