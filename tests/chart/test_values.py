"""What the chart's schema refuses, and that it refuses nothing that the definition of a classifier takes."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hemline_api.resources import ClassifierSpec

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "hemline"
BROKER = {"type": "Kafka", "address": "kafka:9092"}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"operatr": {}}, "operatr"),
    "unknown key below": ({"kafka": {"storage": {"sise": "1Gi"}}}, "sise"),
    "unknown key of an image": ({"images": {"trainer": {"name": "x"}}}, "name"),
    "two operators": ({"operator": {"replicaCount": 2}}, "maximum"),
    "unknown scope": ({"operator": {"scope": "World"}}, "World|one of|must be"),
    "bad digest": ({"images": {"samples": {"digest": "abc"}}}, "pattern"),
    "a word for a number": ({"simulator": {"speed": "fast"}}, "number"),
    "no speed": ({"simulator": {"speed": 0}}, "0"),
    "bad classifier name": ({"classifier": {"name": "My_Classifier"}}, "pattern"),
    "unknown key of a spec": ({"classifier": {"spec": {"inferense": {}}}}, "inferense"),
    "unknown key deep in a spec": (
        {"classifier": {"spec": {"fineTune": {"canary": {"share": "0.1"}}}}},
        "share",
    ),
    "a float in a spec": (
        {"classifier": {"spec": {"fineTune": {"canary": {"fraction": 0.1}}}}},
        "string",
    ),
    "unknown broker": (
        {"classifier": {"spec": {"broker": {"type": "Rabbit"}}}},
        "Rabbit|one of|must be",
    ),
    "bad storage uri": ({"classifier": {"spec": {"storage": {"uri": "/data"}}}}, "pattern"),
    "a toleration's unknown key": ({"operator": {"tolerations": [{"taint": "x"}]}}, "taint"),
    "a port that is none": ({"networkPolicies": {"brokerPorts": [99999]}}, "maximum"),
}

FAILED: dict[str, tuple[dict[str, Any], str]] = {
    "no broker": ({"classifier": {"enabled": True}}, "classifier.enabled needs a broker"),
    "a simulator of nothing": (
        {"simulator": {"enabled": True}},
        "simulator.enabled needs classifier.enabled",
    ),
    "two nodes": ({"kafka": {"enabled": True, "replicas": 2}}, "use 1, or 3 and more"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_schema_refuses(helm: Any, name: str) -> None:
    values, word = REFUSED[name]
    said = helm.refusal(values)
    assert "values don't meet the specifications of the schema" in said
    assert any(one in said for one in word.split("|")), said


@pytest.mark.parametrize("name", FAILED)
def test_what_does_not_go_together_is_said(helm: Any, name: str) -> None:
    values, words = FAILED[name]
    assert words in helm.refusal(values)


def test_an_old_cluster_is_refused(helm: Any) -> None:
    done = helm.run("template", "hemline", CHART, "--kube-version", "1.28.9")
    assert done.returncode != 0
    assert "1.29.0-0" in done.stderr
    vendors = helm.run("template", "hemline", CHART, "--kube-version", "v1.29.4-gke.100")
    assert vendors.returncode == 0, vendors.stderr


def test_the_schema_takes_a_spec_with_every_field_set() -> None:
    # Defaults of the definition, written out: whatever the API server fills in can be given as a value too.
    schema = json.loads((CHART / "values.schema.json").read_text())
    full = ClassifierSpec.model_validate({"broker": BROKER}).model_dump(
        by_alias=True, exclude_none=True, mode="json"
    )
    jsonschema.Draft7Validator(schema).validate({"classifier": {"spec": full}})


def test_every_example_of_a_classifier_is_taken() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    found = 0
    for path in (ROOT / "k8s").glob("*.yaml"):
        for one in yaml.safe_load_all(path.read_text()):
            if one and one["kind"] == "ImageClassifier":
                found += 1
                validator.validate(
                    {"classifier": {"name": one["metadata"]["name"], "spec": one["spec"]}}
                )
    assert found >= 3


def test_every_key_of_the_values_is_used_by_a_template() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    templates = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))

    def leaves(part: Any, known: Any) -> list[str]:
        found = []
        for key, below in part.items():
            deeper = known["properties"].get(key, {})
            if isinstance(below, dict) and "properties" in deeper:
                found += leaves(below, deeper)
            else:
                found.append(key)
        return found

    unused = [
        key
        for key in leaves(values, schema)
        if f".{key}" not in templates and f'"{key}"' not in templates
    ]
    assert not unused
