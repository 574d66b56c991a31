"""Custom resource definitions, generated from the models.

Kubernetes takes structural schemas only: no references, no ``anyOf`` with null, no titles, an explicit type everywhere.
"""

from typing import Any, Final

from pydantic import BaseModel

from hemline_api.resources._base import GROUP, VERSION, rules
from hemline_api.resources._classifier import ClassifierSpec
from hemline_api.resources._fine_tune import FineTuneResourceSpec
from hemline_api.resources._status import ClassifierStatus, FineTuneStatus

__all__ = ["custom_resource_definitions"]

Schema = dict[str, Any]

_DROPPED: Final = ("title", "$defs", "additionalProperties", "const")
_NAME_RULES: Final = {
    "ImageClassifier": (
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must be at most 40 characters of a-z, 0-9 and '-', beginning with a letter: topics and pods "
        "are named after it",
    ),
    "FineTune": (
        "self.metadata.name.size() <= 52",
        "metadata.name must be at most 52 characters: the Job and its pods are named after it",
    ),
}


def custom_resource_definitions() -> tuple[Schema, Schema]:
    """The definitions of ``ImageClassifier`` and ``FineTune``, as they are applied to a cluster."""
    classifier = _definition(
        kind="ImageClassifier",
        plural="imageclassifiers",
        short="icl",
        description="A stream of images that is classified, and a model that is kept fresh.",
        spec=ClassifierSpec,
        status=ClassifierStatus,
        columns=[
            _column("Ready", _condition("Ready", "status")),
            _column("Reason", _condition("Ready", "reason")),
            _column("Live", ".status.liveVersion", "integer"),
            _column("Canary", ".status.canaryVersion", "integer"),
            _column("Accuracy", ".status.liveAccuracy"),
            _column("Fresh", ".status.freshSamples", "integer"),
            _column("Every", ".spec.fineTune.every", "integer", priority=1),
            _column("Labelled", ".status.labelledSamples", "integer", priority=1),
            _column("Pods", ".status.readyReplicas", "integer"),
            _column("Broker", ".spec.broker.type", priority=1),
            _column("Last", ".status.lastFineTune.name", priority=1),
            _column("Age", ".metadata.creationTimestamp", "date"),
        ],
        scale={
            "specReplicasPath": ".spec.inference.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    )
    fine_tune = _definition(
        kind="FineTune",
        plural="finetunes",
        short="ft",
        description="One bounded fine-tuning run of a classifier.",
        spec=FineTuneResourceSpec,
        status=FineTuneStatus,
        columns=[
            _column("Classifier", ".spec.classifierName"),
            _column("Succeeded", _condition("Succeeded", "status")),
            _column("Reason", _condition("Succeeded", "reason")),
            _column("Samples", ".status.samples", "integer"),
            _column("After", ".spec.afterSamples", "integer", priority=1),
            _column("Message", _condition("Succeeded", "message"), priority=1),
            _column("Base", ".status.baseVersion", "integer", priority=1),
            _column("Version", ".status.modelVersion", "integer"),
            _column("Promoted", _condition("Promoted", "status")),
            _column("Age", ".metadata.creationTimestamp", "date"),
        ],
    )
    return classifier, fine_tune


def _definition(
    *,
    kind: str,
    plural: str,
    short: str,
    description: str,
    spec: type[BaseModel],
    status: type[BaseModel],
    columns: list[Schema],
    scale: Schema | None = None,
) -> Schema:
    schema = {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(spec),
            "status": structural(status),
        },
        **rules(_NAME_RULES[kind]),
    }
    subresources: Schema = {"status": {}}
    if scale:
        subresources["scale"] = scale
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "labels": {"app.kubernetes.io/part-of": "hemline"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["hemline"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": subresources,
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }


def _column(name: str, path: str, kind: str = "string", *, priority: int = 0) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path}
    return column | {"priority": priority} if priority else column


def _condition(kind: str, field: str) -> str:
    return f".status.conditions[?(@.type=='{kind}')].{field}"


def structural(model: type[BaseModel]) -> Schema:
    """The schema of a model in the subset of OpenAPI that Kubernetes takes."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _flatten(schema, schema.get("$defs", {}))


def _flatten(schema: Schema, definitions: Schema) -> Schema:
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        # What a field says of itself comes before what its type says of itself.
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    if "anyOf" in schema:
        (alternative,) = [one for one in schema["anyOf"] if one != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        return _flatten({**alternative, **rest}, definitions)

    out = {key: value for key, value in schema.items() if key not in _DROPPED}
    if "properties" in schema:
        out["properties"] = {
            name: _property(part, definitions) for name, part in schema["properties"].items()
        }
    if isinstance(extra := schema.get("additionalProperties"), dict):
        out["additionalProperties"] = _flatten(extra, definitions)
    if "items" in schema:
        out["items"] = _flatten(schema["items"], definitions)
    if out.get("type") == "integer":
        out["format"] = "int64"
    if out.get("default") is None or out.get("default") == []:
        out.pop("default", None)
    return out


def _property(part: Schema, definitions: Schema) -> Schema:
    out = _flatten(part, definitions)
    # The API server fills in the defaults below a part that was left out only where the part itself has a default, and
    # checks that one against the part's rules as it stands: so it is written out in full.
    unset_means_something = "anyOf" in part
    defaults = {
        key: field["default"]
        for key, field in out.get("properties", {}).items()
        if "default" in field
    }
    if defaults and not out.get("required") and not unset_means_something:
        out["default"] = defaults
    return out
