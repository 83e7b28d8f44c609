"""The published JSON Schema is valid, fresh, complete, and agrees with the models."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from schemas.__main__ import SCHEMA_FILE, is_fresh, main
from schemas.v1.document import json_schema
from schemas.v1.keys import allowed_keys
from schemas.v1.manifest import Manifest

CIPHERTEXT = "ENC[AES256_GCM,data:Zm9v,iv:YmFy,tag:YmF6,type:str]"
SERVER = {"package": "pypi:mcp-server-time@2026.10.19"}


def manifest(**server: object) -> dict[str, Any]:
    return {"apiVersion": "catwalk.dev/v1", "fleet": "acme", "servers": {"time": {**SERVER, **server}}}


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in manifest().items() if name != key}


GOOD = {
    "least": manifest(),
    "scoped npm package": manifest(package="npm:@modelcontextprotocol/server-github@2025.4.8"),
    "unpinned": manifest(package="npm:left-pad"),
    "prerelease": manifest(package="pypi:some_server@1.0rc1"),
    "arguments": manifest(args=["--flag", ""]),
    "environment": manifest(env={"PORT": "8080"}),
    "inline secret": {**manifest(secrets={"TOKEN": CIPHERTEXT}), "sops": {"version": "3.11.0", "age": []}},
    "secret in its own file": manifest(secrets={"TOKEN": None}),
    "size and scale": manifest(vm={"cpus": 2}, scale={"min": 1, "max": 3, "idle": "off", "idle_after": "1h"}),
    "transport": manifest(transport={"type": "streamable-http", "port": 3000, "path": "/mcp"}),
    "sessions": manifest(sessions="isolated"),
    "dates": manifest(resolve_as_of="2026-10-19"),
    "defaults": {**manifest(), "defaults": {"vm": {"memory_mb": 1024}, "env": {"A": "b"}}},
    "fly": {**manifest(), "fly": {"organization": "acme", "regions": ["iad", "fra"]}},
}

BAD = {
    "no version of the format": without("apiVersion"),
    "no fleet": without("fleet"),
    "no servers": without("servers"),
    "another version of the format": {**manifest(), "apiVersion": "catwalk.dev/v2"},
    "capital in a fleet": {**manifest(), "fleet": "Acme"},
    "capital in a server": {**manifest(), "servers": {"Time": SERVER}},
    "unknown key": manifest(arg=["x"]),
    "unknown top-level key": {**manifest(), "server": {}},
    "package without registry": manifest(package="mcp-server-time"),
    "package range": manifest(package="npm:x@^1.0.0"),
    "package tag": manifest(package="npm:x@latest"),
    "package with a lone version sign": manifest(package="npm:x@"),
    "number in the environment": manifest(env={"PORT": 8080}),
    "variable name": manifest(env={"BAD-NAME": "x"}),
    "plaintext secret": manifest(secrets={"TOKEN": "hunter2"}),
    "duration without unit": manifest(health={"interval": "5"}),
    "duration as number": manifest(health={"interval": 5}),
    "memory as text": manifest(vm={"memory_mb": "512"}),
    "region": manifest(regions=["Virginia"]),
    "no regions": manifest(regions=[]),
    "idle": manifest(scale={"idle": "sleep"}),
    "suspend as text": manifest(suspend="yes"),
    "arguments as text": manifest(args="--flag"),
    "entrypoint with a path": manifest(entrypoint="bin/x"),
    "transport without a type": manifest(transport={"port": 3000}),
    "transport that ended": manifest(transport={"type": "sse"}),
    "port": manifest(transport={"type": "streamable-http", "port": 70_000}),
    "path that is an address": manifest(transport={"type": "streamable-http", "path": "http://x/mcp"}),
    "path with a query": manifest(transport={"type": "streamable-http", "path": "/mcp?key=1"}),
    "sessions": manifest(sessions="own"),
}


def test_the_schema_is_itself_valid() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json_schema()["$id"].endswith("/v1/catwalk.schema.json")


def test_the_committed_schema_is_fresh() -> None:
    assert is_fresh(), "run `python -m schemas` and commit the result"


def test_a_stale_schema_is_noticed_and_rewritten(tmp_path, monkeypatch) -> None:
    copy = tmp_path / "catwalk.schema.json"
    copy.write_text("{}\n", encoding="utf-8")
    monkeypatch.setattr("schemas.__main__.SCHEMA_FILE", copy)
    assert main(["--check"]) == 1
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert copy.read_bytes() == SCHEMA_FILE.read_bytes()
    assert main(["--unknown"]) == 2


@pytest.mark.parametrize("document", GOOD.values(), ids=GOOD.keys())
def test_a_good_manifest_is_accepted_by_schema_and_models(document) -> None:
    Draft202012Validator(json_schema()).validate(document)
    assert Manifest.model_validate(document).fleet == "acme"


@pytest.mark.parametrize("document", BAD.values(), ids=BAD.keys())
def test_a_bad_manifest_is_refused_by_schema_and_models(document) -> None:
    assert not Draft202012Validator(json_schema()).is_valid(document)
    with pytest.raises(ValidationError):
        Manifest.model_validate(document)


def test_every_field_has_title_description_and_examples() -> None:
    schema = json_schema()
    assert list(_undocumented(schema)) == []


def _undocumented(schema: dict[str, Any]) -> Iterator[str]:
    parts = {"Manifest": schema, **schema["$defs"]}
    for part, definition in parts.items():
        for name, field in definition["properties"].items():
            titled = "title" in field or "title" in schema["$defs"][field["$ref"].rpartition("/")[2]]
            if not (titled and field.get("description") and field.get("examples")):
                yield f"{part}.{name}"


def test_every_example_of_a_field_fits_the_field() -> None:
    schema = json_schema()
    for definition in (schema, *schema["$defs"].values()):
        for field in definition["properties"].values():
            for example in field["examples"]:
                Draft202012Validator({**field, "$defs": schema["$defs"]}).validate(example)


def test_the_default_of_a_field_fits_the_field() -> None:
    schema = json_schema()
    for definition in (schema, *schema["$defs"].values()):
        for field in definition["properties"].values():
            if "default" in field:
                Draft202012Validator({**field, "$defs": schema["$defs"]}).validate(field["default"])


def test_the_keys_of_every_place_are_known() -> None:
    assert "apiVersion" in allowed_keys(())
    assert "args" in allowed_keys(("servers", "time"))
    assert "memory_mb" in allowed_keys(("servers", "time", "vm"))
    assert allowed_keys(("servers", "time", "env")) == ()
    assert allowed_keys(("nowhere", "at", "all")) == ()


def test_a_manifest_cannot_be_changed_after_it_was_read() -> None:
    read = Manifest.model_validate(manifest())
    with pytest.raises(ValidationError):
        read.fleet = "other"  # type: ignore[misc]  # That it is refused is what is tested.
