"""The custom resource definitions, as a real API server takes them."""

import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hemline_api.resources import custom_resource_definitions
from hemline_operator.kube import CLASSIFIER, FINE_TUNE
from hemline_operator.testing.cluster import Cluster, message

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(300, func_only=True)]

KAFKA = {"type": "Kafka", "address": "kafka:9092"}
PUB_SUB = {"type": "PubSub", "address": "my-project"}


def classifier(name: str = "mnist", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"broker": KAFKA, **spec}}


def fine_tune(name: str = "now", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"classifierName": "mnist", **spec}}


TRAINER = {"steps": 10}
GATE = {"maxFrozenDrop": "0.5"}

# What is made first (None: nothing), what is then asked for, and what the refusal must say.
CREATED: list[tuple[Any, str]] = [
    (classifier(broker={**KAFKA, "address": "kafka"}), "broker.address must be host:port"),
    (
        classifier(broker={**PUB_SUB, "address": "My Project"}),
        "broker.address must be a project id",
    ),
    (classifier(broker={**PUB_SUB, "tls": "Enabled"}), "are for type Kafka"),
    (classifier(broker={**PUB_SUB, "strimziCluster": "main"}), "are for type Kafka"),
    (classifier(broker={**KAFKA, "endpoint": "h:1"}), "broker.endpoint is for type PubSub"),
    (classifier(broker={**KAFKA, "sasl": "PLAIN"}), "broker.sasl needs broker.secretName"),
    (classifier(storage={"secretName": "s3"}), "storage.secretName is for an object store"),
    (
        classifier(inference={"autoscaling": {"minReplicas": 4, "maxReplicas": 2}}),
        "autoscaling.minReplicas must not exceed",
    ),
    (
        classifier(fineTune={"canary": {"fraction": "1.0"}}),
        "canary.fraction must be between 0 and 1",
    ),
    (fine_tune(gate={"significance": "0.6"}), "gate.significance must be above 0 and at most 0.5"),
    (classifier("a" * 41), "metadata.name must be at most 40 characters"),
    (classifier("1st"), "metadata.name must be at most 40 characters"),
    (fine_tune("a" * 53), "metadata.name must be at most 52 characters"),
]
CHANGED: list[tuple[Any, Any, str]] = [
    (classifier(), {"broker": PUB_SUB}, "broker.type cannot be changed"),
    (classifier(), {"topics": {"partitions": 2}}, "topics.partitions cannot shrink"),
    (classifier(), {"storage": {"uri": "s3://bucket/lake"}}, "storage.uri cannot be changed"),
    (
        classifier(storage={"uri": "s3://bucket/lake"}),
        {"storage": {"uri": "s3://bucket/other"}},
        "storage.uri cannot be changed",
    ),
    (
        classifier(),
        {"storage": {"accessMode": "ReadWriteMany"}},
        "storage.accessMode cannot be changed",
    ),
    (fine_tune(), {"classifierName": "other"}, "classifierName is fixed"),
    (fine_tune(), {"afterSamples": 5}, "afterSamples is fixed"),
    (fine_tune(), {"trainer": TRAINER}, "trainer is fixed"),
    (fine_tune(trainer=TRAINER), {"trainer": None}, "trainer is fixed"),
    (fine_tune(trainer=TRAINER), {"trainer": {"steps": 11}}, "trainer is fixed"),
    (fine_tune(), {"gate": GATE}, "gate is fixed"),
]


def kind_of(manifest: dict[str, Any]) -> Any:
    return CLASSIFIER if "broker" in manifest["spec"] else FINE_TUNE


@pytest.mark.parametrize(("manifest", "refusal"), CREATED)
def test_what_contradicts_itself_is_refused(
    cluster: Cluster, namespace: str, manifest: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        cluster.create(kind_of(manifest), namespace, manifest)
    assert refused.value.response.status_code == 422
    assert refusal in message(refused.value)


@pytest.mark.parametrize(("manifest", "change", "refusal"), CHANGED)
def test_what_cannot_change_later_is_refused(
    cluster: Cluster, namespace: str, manifest: dict[str, Any], change: dict[str, Any], refusal: str
) -> None:
    kind = kind_of(manifest)
    cluster.create(kind, namespace, manifest)
    with pytest.raises(httpx.HTTPStatusError) as refused:
        cluster.patch(kind, namespace, manifest["metadata"]["name"], {"spec": change})
    assert refused.value.response.status_code == 422
    assert refusal in message(refused.value)


def test_every_rule_of_the_definitions_is_among_those_that_were_refused() -> None:
    """A rule that is added without a refusal above makes this fail."""

    def messages(schema: dict[str, Any]) -> set[str]:
        found = {one["message"] for one in schema.get("x-kubernetes-validations", ())}
        parts = list(schema.get("properties", {}).values())
        return found.union(*(messages(part) for part in parts), set())

    refusals = [refusal for *_, refusal in CREATED] + [refusal for *_, refusal in CHANGED]
    for definition in custom_resource_definitions():
        schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for rule in messages(schema):
            assert any(refusal in rule for refusal in refusals), rule


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"version": 3}},
        {"topics": {"partitions": 5}},
        {"inference": {"replicas": 3}},
        {"fineTune": {"every": 5}},
        {"broker": {"address": "other:9092"}},
        {"storage": {"size": "20Gi"}},
    ],
)
def test_what_may_change_is_taken(cluster: Cluster, namespace: str, change: dict[str, Any]) -> None:
    cluster.create(CLASSIFIER, namespace, classifier())
    cluster.patch(CLASSIFIER, namespace, "mnist", {"spec": change})


def test_a_fine_tune_can_be_suspended_and_resumed(cluster: Cluster, namespace: str) -> None:
    cluster.create(FINE_TUNE, namespace, fine_tune(trainer=TRAINER, gate=GATE, afterSamples=7))
    for mode in ("Enabled", "Disabled"):
        after = cluster.patch(FINE_TUNE, namespace, "now", {"spec": {"suspend": mode}})
        assert after["spec"]["suspend"] == mode


def test_defaults_are_filled_in_by_the_server(cluster: Cluster, namespace: str) -> None:
    spec = cluster.create(CLASSIFIER, namespace, classifier())["spec"]
    assert spec["fineTune"]["every"] == 1000
    assert spec["fineTune"]["canary"] == {"mode": "Disabled", "fraction": "0.1", "minLabelled": 200}
    assert spec["samples"]["serve"]["replicas"] == 1
    assert "replicas" not in spec["inference"]


def test_a_classifier_scales_through_its_subresource(cluster: Cluster, namespace: str) -> None:
    cluster.create(CLASSIFIER, namespace, classifier(inference={"replicas": 1}))
    cluster.patch(CLASSIFIER, namespace, "mnist", {"spec": {"replicas": 4}}, "/scale")
    after = cluster.get(CLASSIFIER, namespace, "mnist")
    assert after is not None
    assert after["spec"]["inference"]["replicas"] == 4


def kubectl(cluster: Cluster, namespace: str, *arguments: str) -> str:
    command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "-n", namespace, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_kubectl_lists_both_by_short_names_and_category(cluster: Cluster, namespace: str) -> None:
    cluster.create(CLASSIFIER, namespace, classifier())
    cluster.create(FINE_TUNE, namespace, fine_tune())
    listed = kubectl(cluster, namespace, "get", "icl,ft")
    assert "imageclassifier.hemline.dev/mnist" in listed
    assert "finetune.hemline.dev/now" in listed
    assert "mnist" in kubectl(cluster, namespace, "get", "hemline")


@pytest.mark.parametrize(
    ("name", "options", "columns"),
    [
        ("icl", (), "NAME READY REASON LIVE CANARY ACCURACY FRESH PODS AGE"),
        (
            "icl",
            ("-o", "wide"),
            "NAME READY REASON LIVE CANARY ACCURACY FRESH EVERY LABELLED PODS BROKER LAST AGE",
        ),
        ("ft", (), "NAME CLASSIFIER SUCCEEDED REASON SAMPLES VERSION PROMOTED AGE"),
        (
            "ft",
            ("-o", "wide"),
            "NAME CLASSIFIER SUCCEEDED REASON SAMPLES AFTER MESSAGE BASE VERSION PROMOTED AGE",
        ),
    ],
)
def test_the_columns_tell_the_story(
    cluster: Cluster, namespace: str, name: str, options: tuple[str, ...], columns: str
) -> None:
    cluster.create(CLASSIFIER, namespace, classifier())
    cluster.create(FINE_TUNE, namespace, fine_tune())
    shown = kubectl(cluster, namespace, "get", name, *options)
    assert shown.splitlines()[0].split() == columns.split()


def documented(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Every part of a spec that has parts, with a sentence of each of them."""
    for name, part in schema.get("properties", {}).items():
        inner = part.get("items", part)
        if "properties" in inner:
            yield from documented(inner, f"{path}.{name}")
        yield path, part["description"]


def test_kubectl_explains_every_field(cluster: Cluster, namespace: str) -> None:
    """As kubectl prints it, whatever it does to long lines."""
    for definition, short in zip(custom_resource_definitions(), ("icl", "ft"), strict=True):
        schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        fields = [*documented(schema["properties"]["spec"], f"{short}.spec")]
        fields += [*documented(schema["properties"]["status"], f"{short}.status")]
        pages = {
            path: " ".join(kubectl(cluster, namespace, "explain", path).split())
            for path in sorted({path for path, _ in fields})
        }
        assert len(fields) > 20
        for path, sentence in fields:
            assert " ".join(sentence.split()) in pages[path], path
    page = kubectl(cluster, namespace, "explain", "icl.spec.fineTune")
    assert "DESCRIPTION:" in page
    assert "When a new model is made" in page
