"""Environments: what an overlay changes, where its problems are told, and which files count."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from reconciler.core.manifest_set import ManifestSet
from reconciler.core.problems import Problem
from reconciler.core.types import PackageReference
from reconciler.errors import InvalidManifests
from reconciler.sources.folders import source_folders
from reconciler.sources.layout import environment_of_file, select
from reconciler.sources.manifests import read_manifests
from reconciler.sources.overlays import environments, overlaid
from reconciler.sources.yaml_nodes import Value, read_document

BASE = """\
apiVersion: catwalk.dev/v1
fleet: acme
defaults:
  scale: {min: 1, max: 3}
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
    args: [--local-timezone=Europe/Berlin]
    env: {LEVEL: info, COLOUR: never}
  search:
    package: npm:search@1.0.0
    secrets: {TOKEN: }
"""
CIPHERTEXT = "ENC[AES256_GCM,data:Zm9v,iv:YmFy,tag:YmF6,type:str]"


def staging(overlay: str, **more: bytes) -> ManifestSet:
    files = {"catwalk.yaml": BASE.encode(), "catwalk.staging.yaml": overlay.encode(), **more}
    return read_manifests(files, "staging")


def refused(overlay: str, **more: bytes) -> list[Problem]:
    with pytest.raises(InvalidManifests) as caught:
        staging(overlay, **more)
    return list(caught.value.problems)


def told(problems: list[Problem]) -> list[tuple[str, str]]:
    return [(problem.code, str(problem.location)) for problem in problems]


def test_an_overlay_merges_mappings_replaces_lists_and_removes_what_is_empty() -> None:
    fleet = staging(
        "fleet: acme-staging\n"
        "defaults: {scale: {min: 0}}\n"
        "servers:\n"
        "  time: {package: pypi:mcp-server-time@2026.11.1, args: [], env: {LEVEL: debug, COLOUR: }}\n"
        "  search:\n"
        "  extra: {package: 'npm:extra@1.0.0', secrets: {KEY: }}\n"
    )
    extra, time = fleet.specs
    assert (fleet.fleet, fleet.warnings) == ("acme-staging", ())
    assert (extra.name, time.name) == ("extra", "time")
    assert isinstance(time.package, PackageReference)
    assert time.package.version == "2026.11.1"
    assert (time.arguments, dict(time.environment)) == ((), {"LEVEL": "debug"})
    assert (time.scale.minimum, time.scale.maximum) == (0, 3)
    assert extra.secrets[0].file == "secrets/extra/KEY.sops.yaml"


def test_without_its_environment_an_overlay_changes_nothing() -> None:
    files = {"catwalk.yaml": BASE.encode(), "catwalk.staging.yaml": b"servers: broken\n"}
    assert [spec.name for spec in read_manifests(files).specs] == ["search", "time"]


def test_every_problem_points_into_the_file_that_must_change() -> None:
    shapes = "fleet: acme-staging\nservers:\n  time:\n    arg: [x]\n  search: {env: {PORT: 80}}\n"
    assert told(refused(shapes)) == [
        ("unknown-key", "catwalk.staging.yaml:4:5"),
        ("not-text", "catwalk.staging.yaml:5:24"),
    ]
    assert told(refused("defaults: {vm: {cpus: 4}}\n")) == [("bad-size", "catwalk.staging.yaml:1:16")]


def test_an_overlay_is_a_mapping_or_empty() -> None:
    assert told(refused("- a\n")) == [("wrong-type", "catwalk.staging.yaml:1:1")]
    assert len(staging("# nothing differs\n").specs) == 2
    assert told(refused("a: b: c\n")) == [("yaml-syntax", "catwalk.staging.yaml:1:5")]


def test_an_environment_without_any_overlay_is_unknown() -> None:
    files = {"catwalk.yaml": BASE.encode(), "catwalk.staging.yaml": b"fleet: x\n"}
    with pytest.raises(InvalidManifests, match=r"did you mean `staging`\?"):
        read_manifests(files, "stagin")
    with pytest.raises(InvalidManifests, match="there are overlays for no environment"):
        read_manifests({"catwalk.yaml": BASE.encode()}, "staging")


def test_an_overlay_needs_a_manifest_beside_it() -> None:
    files = {"a/catwalk.yaml": BASE.encode(), "a/catwalk.staging.yaml": b"{}", "b/catwalk.staging.yaml": b"{}"}
    with pytest.raises(InvalidManifests) as caught:
        read_manifests(files, "staging")
    assert told(list(caught.value.problems)) == [("overlay-without-manifest", "b/catwalk.staging.yaml:1:1")]


def test_only_the_manifests_with_an_overlay_change_in_an_environment() -> None:
    other = b"apiVersion: catwalk.dev/v1\nfleet: acme\nservers: {other: {package: 'npm:o@1.0.0'}}\n"
    fleet = staging("servers: {time: {suspend: true}}\n", **{"team/catwalk.yaml": other})
    assert {spec.name: spec.suspended for spec in fleet.specs} == {"other": False, "search": False, "time": True}


def test_an_environment_that_keeps_the_name_of_the_fleet_is_warned_about() -> None:
    (warning,) = staging("servers: {time: {suspend: true}}\n").warnings
    assert (warning.code, str(warning.location)) == ("overlay-keeps-fleet", "catwalk.staging.yaml:1:1")
    assert staging("fleet: acme\n").warnings == ()


def test_each_file_is_encrypted_by_itself() -> None:
    overlay = f"fleet: acme-staging\nservers: {{search: {{secrets: {{TOKEN: '{CIPHERTEXT}'}}}}}}\n"
    assert told(refused(overlay)) == [("missing-sops-block", "catwalk.staging.yaml:2:37")]
    search, _ = staging(overlay + "sops: {version: 3.11.0}\n").specs
    assert (search.secrets[0].file, search.secrets[0].inline) == ("catwalk.staging.yaml", True)


def test_a_secret_file_of_the_environment_comes_before_the_shared_one() -> None:
    own = {"secrets.staging/search/TOKEN.sops.yaml": b"x"}
    search, _ = staging("fleet: acme-staging\n", **own).specs
    assert search.secrets[0].file == "secrets.staging/search/TOKEN.sops.yaml"
    search, _ = staging("fleet: acme-staging\n").specs
    assert search.secrets[0].file == "secrets/search/TOKEN.sops.yaml"


def test_a_folder_that_only_an_overlay_names_belongs_to_the_source() -> None:
    files = {"a/catwalk.yaml": b"", "a/catwalk.staging.yaml": b"servers: {x: {directory: ./notes}}\n"}
    assert source_folders(files) == ("a/notes",)


@pytest.mark.parametrize(
    ("path", "environment"),
    [
        ("catwalk.staging.yaml", "staging"),
        ("a/b/catwalk.eu-1.yaml", "eu-1"),
        ("catwalk.yaml", ""),
        ("catwalk..yaml", ""),
        ("catwalk.a.b.yaml", ""),
        ("catwalk.Staging.yaml", ""),
        ("xcatwalk.staging.yaml", ""),
    ],
)
def test_the_name_of_a_file_says_which_environment_it_is_for(path: str, environment: str) -> None:
    assert environment_of_file(path) == environment


def test_overlays_and_their_secrets_are_read_and_nothing_like_them() -> None:
    paths = (
        "catwalk.yaml",
        "catwalk.staging.yaml",
        "secrets.staging/a/B.sops.yaml",
        "secrets.production/a/B.sops.yaml",
        "secretsx/a/B.sops.yaml",
    )
    assert select(paths) == ("catwalk.yaml", "catwalk.staging.yaml", "secrets.staging/a/B.sops.yaml")
    assert environments(paths) == ("staging",)


values: st.SearchStrategy[Value] = st.recursive(
    st.sampled_from(["a", "b", 1, True, None]),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)),
    max_leaves=8,
)
mappings: st.SearchStrategy[dict[str, Value]] = st.dictionaries(st.sampled_from("xyz"), values, max_size=3)


def expected(below: Value, above: Value) -> Value:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    kept = {key: expected(value, above[key]) if key in above else value for key, value in below.items()}
    added = {key: value for key, value in above.items() if key not in below}
    return {key: value for key, value in kept.items() if key not in above or above[key] is not None} | added


@given(mappings, mappings)
def test_what_is_merged_has_a_place_for_everything_and_nothing_else(below, above) -> None:
    documents = [read_document(f"{name}.yaml", yaml_of(data)) for name, data in (("below", below), ("above", above))]
    merged = overlaid(*documents)
    assert merged.data == expected(below, above)
    assert set(merged.values) == set(paths(merged.data, ()))


def yaml_of(data: object) -> bytes:
    buffer = io.BytesIO()
    YAML(typ="safe").dump(data, buffer)
    return buffer.getvalue()


def paths(value: Value, path: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
    inner: list[tuple[str | int, Value]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(found for key, item in inner for found in paths(item, (*path, key)))]
