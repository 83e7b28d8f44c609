"""The JSON Schema of the manifest, for editors and for tools in other languages.

Made from the models, so that it cannot say something else than the program does. It follows JSON Schema 2020-12.
"""

import json
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from schemas.v1.manifest import Manifest

SCHEMA_ID: Final = "https://catwalk.dev/schemas/v1/catwalk.schema.json"
"""A name, not a promise of an address: editors use the committed file."""


class _PublishedSchema(GenerateJsonSchema):
    """Names the dialect, which pydantic leaves out, and refuses keys that break the pattern of a mapping."""

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        generated = super().generate(schema, mode=mode)
        return {"$schema": self.schema_dialect, "$id": SCHEMA_ID, **generated}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        generated = super().dict_schema(schema)
        if "patternProperties" in generated:
            generated["additionalProperties"] = False
        return generated


def json_schema() -> dict[str, Any]:
    """The schema as a JSON value."""
    return Manifest.model_json_schema(by_alias=True, schema_generator=_PublishedSchema)


def json_schema_text() -> str:
    """The schema as the committed file has it, with a final newline."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
