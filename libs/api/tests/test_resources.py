from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hemline_api.resources import ClassifierSpec, FineTuneResourceSpec, custom_resource_definitions
from hemline_api.resources.__main__ import render

ROOT = Path(__file__).parents[3]
CLASSIFIER, FINE_TUNE = custom_resource_definitions()
FORBIDDEN = {"$ref", "$defs", "anyOf", "allOf", "oneOf", "const", "title"}


def schema_of(definition: dict[str, Any]) -> dict[str, Any]:
    (version,) = definition["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}.*")


@pytest.mark.parametrize("name", sorted(render()))
def test_the_generated_definitions_are_current(name: str) -> None:
    assert (ROOT / "k8s" / "crds" / name).read_text() == render()[name], "run: make generate"


@pytest.mark.parametrize("definition", [CLASSIFIER, FINE_TUNE])
def test_the_schema_is_structural_and_reads_like_documentation(definition: dict[str, Any]) -> None:
    for path, part in walk(schema_of(definition)):
        assert not FORBIDDEN & set(part), path
        assert "type" in part, path
        documented = path in ("", ".apiVersion", ".kind", ".metadata") or path.endswith(
            (".*", "[]")
        )
        assert documented or part.get("description"), f"{path} says nothing of itself"


@pytest.mark.parametrize("definition", [CLASSIFIER, FINE_TUNE])
def test_every_list_and_text_of_a_spec_is_bounded(definition: dict[str, Any]) -> None:
    for path, part in walk(schema_of(definition)["properties"]["spec"]):
        if part["type"] == "array":
            assert "maxItems" in part, path
        if part["type"] == "string" and "enum" not in part:
            assert "maxLength" in part, path
        if part["type"] == "integer":
            assert {"minimum", "maximum"} <= set(part) or path == ".model.version", path


def test_a_spec_with_nothing_but_a_broker_has_every_default_as_the_schema_has() -> None:
    spec = ClassifierSpec.model_validate({"broker": {"type": "Kafka", "address": "kafka:9092"}})
    schema = schema_of(CLASSIFIER)["properties"]["spec"]

    def defaulted(part: dict[str, Any], value: Any) -> Any:
        if part["type"] != "object" or "properties" not in part:
            return value
        out = dict(value)
        for name, field in part["properties"].items():
            if name not in out and "default" in field:
                out[name] = field["default"]
            if name in out:
                out[name] = defaulted(field, out[name])
        return out

    filled = defaulted(schema, {"broker": {"type": "Kafka", "address": "kafka:9092"}})
    assert ClassifierSpec.model_validate(filled) == spec
    assert filled["fineTune"]["every"] == 1000
    assert filled["samples"]["serve"]["replicas"] == 1
    assert "replicas" not in filled["inference"]


def test_a_fine_tune_without_a_trainer_takes_the_classifiers() -> None:
    spec = schema_of(FINE_TUNE)["properties"]["spec"]["properties"]
    assert "default" not in spec["trainer"]
    assert "default" not in spec["gate"]
    assert FineTuneResourceSpec.model_validate({"classifierName": "mnist"}).trainer is None


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        FineTuneResourceSpec.model_validate({"classifierName": "mnist", "after": 1})


def test_resources_can_be_listed_scaled_and_watched_by_status() -> None:
    for definition, short in ((CLASSIFIER, "icl"), (FINE_TUNE, "ft")):
        names = definition["spec"]["names"]
        (version,) = definition["spec"]["versions"]
        assert names["shortNames"] == [short]
        assert names["categories"] == ["hemline"]
        assert "status" in version["subresources"]
    scale = CLASSIFIER["spec"]["versions"][0]["subresources"]["scale"]
    assert scale["specReplicasPath"] == ".spec.inference.replicas"
