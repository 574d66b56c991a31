"""What the chart renders, with a real helm."""

import json
import shutil
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

from hemline_api.resources import ClassifierSpec
from hemline_api.rollout import Rollout
from hemline_operator.manifests import manifests
from hemline_operator.plan import Key, Platform
from hemline_operator.plan._children import desired
from hemline_operator.plan._names import Owner

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "charts"
CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "cases.yaml").read_text()
)
EXISTING = {"broker": {"type": "Kafka", "address": "kafka:9092"}}


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_linted_and_names_its_objects_once(helm: Any, name: str) -> None:
    case = CASES[name]
    files = case.get("files", [])
    arguments = [part for file in files for part in ("--values", CHARTS / "hemline" / file)]
    linted = helm.run(
        *("lint", "--strict", CHARTS / "hemline", *arguments, "--values", "-"),
        text=json.dumps(case.get("values", {})),
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
    objects = helm.objects(case.get("values"), files)
    names = [
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects
    ]
    assert len(names) == len(set(names)), names


def test_every_values_file_is_a_case() -> None:
    rendered = {file for case in CASES.values() for file in case.get("files", [])}
    assert rendered == {path.name for path in (CHARTS / "hemline").glob("values-*.yaml")}


def test_every_switch_is_a_case() -> None:
    values = yaml.safe_load((CHARTS / "hemline" / "values.yaml").read_text())

    def switches(part: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], bool]:
        if isinstance(part, bool):
            return {path: part}
        if not isinstance(part, dict) or path[-1:] in [
            ("podSecurityContext",),
            ("containerSecurityContext",),
        ]:
            return {}
        return {
            k: v for key, below in part.items() for k, v in switches(below, (*path, key)).items()
        }

    def said(case: dict[str, Any], path: tuple[str, ...]) -> list[Any]:
        """What the case's values files and values say of a switch."""
        trees = [
            yaml.safe_load((CHARTS / "hemline" / file).read_text())
            for file in case.get("files", [])
        ]
        return [reduce(below, path, tree) for tree in [*trees, case.get("values", {})]]

    def below(tree: Any, key: str) -> Any:
        return tree.get(key) if isinstance(tree, dict) else None

    untried = [
        ".".join(path)
        for path, default in switches(values).items()
        if path[-1] != "automount"
        and not any((not default) in said(case, path) for case in CASES.values())
    ]
    assert not untried


def test_without_a_switch_there_is_the_operator_alone(helm: Any) -> None:
    kinds = {one["kind"] for one in helm.objects()}
    assert kinds == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Deployment", "Job"}


@pytest.mark.parametrize("cluster_wide", [True, False], ids=["cluster", "namespaces"])
def test_the_operator_is_the_one_of_the_plain_manifests(
    helm: Any, pick: Any, cluster_wide: bool
) -> None:
    scope = "Cluster" if cluster_wide else "Namespaces"
    objects = helm.objects({"operator": {"scope": scope}})
    plain = {one["kind"]: one for one in manifests("vision", cluster_wide=cluster_wide)}
    role = "ClusterRole" if cluster_wide else "Role"
    assert pick(objects, role, "hemline-operator")["rules"] == plain[role]["rules"]
    binding = pick(objects, f"{role}Binding", "hemline-operator")
    assert binding["roleRef"] == plain[f"{role}Binding"]["roleRef"]
    assert binding["subjects"] == plain[f"{role}Binding"]["subjects"]

    ours, theirs = (
        pick(objects, "Deployment", "hemline-operator")["spec"],
        plain["Deployment"]["spec"],
    )
    assert (ours["replicas"], ours["strategy"]) == (theirs["replicas"], theirs["strategy"])
    pod, expected = ours["template"]["spec"], theirs["template"]["spec"]
    assert pod["securityContext"].items() >= expected["securityContext"].items()
    (container,), (model,) = pod["containers"], expected["containers"]
    for part in (
        "image",
        "ports",
        "env",
        "resources",
        "livenessProbe",
        "readinessProbe",
        "securityContext",
        "volumeMounts",
    ):
        assert container[part] == model[part], part
    assert (any("--namespace=vision" in one for one in container["args"])) is not cluster_wide


def test_the_images_are_the_operators_defaults(helm: Any, pick: Any) -> None:
    (container,) = pick(helm.objects(), "Deployment", "hemline-operator")["spec"]["template"][
        "spec"
    ]["containers"]
    images = Platform().images
    for component in ("inference", "samples", "trainer"):
        assert f"--{component}-image={getattr(images, component)}" in container["args"]


def test_the_trainer_with_cuda_is_of_this_version(helm: Any, pick: Any) -> None:
    objects = helm.objects(files=["values-production.yaml", "values-gpu.yaml"])
    pod = pick(objects, "Deployment", "hemline-operator")["spec"]["template"]["spec"]
    gpu = f"{Platform().images.trainer}-gpu"
    assert f"--trainer-image={gpu}" in pod["containers"][0]["args"]
    example = yaml.safe_load((ROOT / "k8s" / "classifier-gpu.yaml").read_text())
    assert example["spec"]["trainer"]["image"] == gpu


def test_an_image_is_named_by_registry_repository_tag_and_digest(helm: Any, pick: Any) -> None:
    case = CASES["registry"]["values"]
    (container,) = pick(helm.objects(case), "Deployment", "hemline-operator")["spec"]["template"][
        "spec"
    ]["containers"]
    assert container["image"] == "mirror.example.com/hemline/operator:1.2.3"
    assert container["imagePullPolicy"] == "Never"
    digest = case["images"]["inference"]["digest"]
    assert (
        f"--inference-image=registry.example.com/team/hemline/inference@{digest}"
        in container["args"]
    )
    assert "--samples-image=registry.example.com/team/hemline/samples:1.2.3" in container["args"]
    assert "--pull-policy=Always" in container["args"]


BROKERS: dict[str, dict[str, Any]] = {
    "plain": {"type": "Kafka", "address": "kafka:9092"},
    "tls": {"type": "Kafka", "address": "kafka:9093", "tls": "Enabled"},
    "tls-secret": {
        "type": "Kafka",
        "address": "kafka:9093",
        "tls": "Enabled",
        "secretName": "kafka",
    },
    "login": {"type": "Kafka", "address": "kafka:9092", "sasl": "PLAIN", "secretName": "kafka"},
    "tls-login": {
        "type": "Kafka",
        "address": "k:9093",
        "tls": "Enabled",
        "sasl": "SCRAM-SHA-256",
        "secretName": "kafka",
    },
    "strimzi": {"type": "Kafka", "address": "k:9092", "strimziCluster": "k"},
    "strimzi-tls": {"type": "Kafka", "address": "k:9093", "strimziCluster": "k", "tls": "Enabled"},
    "strimzi-login": {
        "type": "Kafka",
        "address": "k:9092",
        "strimziCluster": "k",
        "sasl": "SCRAM-SHA-512",
    },
    "strimzi-tls-login": {
        "type": "Kafka",
        "address": "k:9093",
        "strimziCluster": "k",
        "tls": "Enabled",
        "sasl": "SCRAM-SHA-512",
    },
    "pubsub": {"type": "PubSub", "address": "example-project"},
    "pubsub-key": {
        "type": "PubSub",
        "address": "example-project",
        "secretName": "pubsub",
        "endpoint": "us-east1-pubsub.googleapis.com:443",
    },
}

TOPICS: dict[str, dict[str, Any]] = {
    "tls-login": {"topics": {"partitions": 12, "replicas": 3, "retentionHours": 24}},
    "pubsub-key": {"topics": {"retentionHours": 87_600}},
}


@pytest.mark.parametrize("name", BROKERS)
def test_the_simulator_reaches_the_broker_as_the_classifiers_pods_do(
    helm: Any, pick: Any, name: str
) -> None:
    given = {"broker": BROKERS[name]} | TOPICS.get(name, {})
    classifier = {"enabled": True, "spec": given}
    objects = helm.objects({"classifier": classifier, "simulator": {"enabled": True}})
    spec = ClassifierSpec.model_validate(given)
    owner = Owner("hemline.dev/v1alpha1", "ImageClassifier", "mnist", "uid")
    children = desired(
        Key("vision", "mnist"), owner, spec, Rollout(revision=1, stable=1), Platform()
    )
    (theirs,) = [one for one in children if one["metadata"]["name"] == "mnist-collect"]
    expected = theirs["spec"]["template"]["spec"]

    def credentials(pod: Any) -> Any:
        (container,) = pod["containers"]
        environment = [
            one for one in container["env"] if one["name"].startswith(("HEMLINE_KAFKA", "GOOGLE"))
        ]
        mounts = [one for one in container["volumeMounts"] if one["name"] == "broker"]
        return environment, mounts, [one for one in pod["volumes"] if one["name"] == "broker"]

    def address(command: list[str]) -> str:
        joined = " ".join(command).replace("--broker=", "--broker ").split()
        return joined[joined.index("--broker") + 1]

    simulator = pick(objects, "Deployment", "hemline-simulator")["spec"]["template"]["spec"]
    test = pick(objects, "Pod", "hemline-test-answer")["spec"]
    for pod in (simulator, test):
        assert credentials(pod) == credentials(expected)
        if BROKERS[name] == {"type": "PubSub", "address": "example-project"}:
            assert pod["serviceAccountName"] == expected["serviceAccountName"]
        assert address(pod["containers"][0]["args"]) == address(
            expected["containers"][0]["command"]
        )


def test_kafka_takes_records_of_15_mib_and_fits_one_node(helm: Any, pick: Any) -> None:
    objects = helm.objects(files=["values-kind.yaml"])
    config = pick(objects, "Kafka", "kafka")["spec"]["kafka"]["config"]
    assert config["message.max.bytes"] == config["replica.fetch.max.bytes"] == 15_728_640
    assert config["default.replication.factor"] == config["min.insync.replicas"] == 1
    spec = pick(objects, "ImageClassifier", "mnist")["spec"]
    assert spec["broker"] == {
        "type": "Kafka",
        "address": "kafka-kafka-bootstrap.vision.svc:9092",
        "strimziCluster": "kafka",
    }
    assert spec["topics"]["replicas"] == 1


def test_kafka_of_three_nodes_keeps_copies_and_lets_in_who_logs_in(helm: Any, pick: Any) -> None:
    objects = helm.objects(CASES["kafka-production"]["values"])
    kafka = pick(objects, "Kafka", "events")["spec"]["kafka"]
    assert kafka["config"]["default.replication.factor"] == 3
    assert kafka["config"]["min.insync.replicas"] == 3  # the given one
    assert [
        (one["name"], one["tls"], one["authentication"]["type"]) for one in kafka["listeners"]
    ] == [("tls", True, "scram-sha-512")]
    spec = pick(objects, "ImageClassifier", "mnist")["spec"]
    assert spec["broker"]["address"] == "events-kafka-bootstrap.vision.svc:9093"
    assert (spec["broker"]["tls"], spec["broker"]["sasl"]) == ("Enabled", "SCRAM-SHA-512")
    assert spec["topics"]["replicas"] == 3


def test_what_a_classifier_is_given_is_what_its_definition_takes(helm: Any) -> None:
    for name, case in CASES.items():
        for one in helm.objects(case.get("values"), case.get("files", [])):
            if one["kind"] == "ImageClassifier":
                ClassifierSpec.model_validate(one["spec"]), name


def test_budgets_are_made_only_where_a_pod_can_be_spared(helm: Any) -> None:
    def budgets(values: Any) -> set[str]:
        base = {"podDisruptionBudgets": {"enabled": True}}
        spec = {**EXISTING, **values}
        objects = helm.objects(base | {"classifier": {"enabled": True, "spec": spec}})
        return {one["metadata"]["name"] for one in objects if one["kind"] == "PodDisruptionBudget"}

    assert budgets({}) == set()
    assert budgets({"inference": {"replicas": 2}}) == {"mnist-inference"}
    scaled = {"mode": "Enabled", "minReplicas": 0}
    assert budgets({"inference": {"replicas": 5, "autoscaling": scaled}}) == set()
    assert budgets({"inference": {"autoscaling": scaled | {"minReplicas": 2}}}) == {
        "mnist-inference"
    }
    assert budgets({"samples": {"serve": {"replicas": 2}}}) == {"mnist-serve"}


def test_definitions_are_kept_on_uninstall_and_upgraded_by_a_job_with_rights_on_them_alone(
    helm: Any, pick: Any
) -> None:
    objects = helm.objects()
    assert not [one for one in objects if one["kind"] == "CustomResourceDefinition"]
    names = {
        yaml.safe_load(path.read_text())["metadata"]["name"]
        for path in (CHARTS / "hemline" / "crds").iterdir()
    }
    (rule,) = pick(objects, "ClusterRole", "hemline-crds")["rules"]
    assert set(rule["resourceNames"]) == names
    for kind in ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job"):
        annotations = pick(objects, kind, "hemline-crds")["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert "hook-succeeded" in annotations["helm.sh/hook-delete-policy"]


def test_dashboards_and_rules_are_what_lies_in_files(helm: Any) -> None:
    everything = {part: {"enabled": True} for part in ("podMonitors", "rules", "dashboards")}
    objects = helm.objects({"monitoring": everything})
    boards = {
        name: text
        for one in objects
        if one["kind"] == "ConfigMap" and one["metadata"]["labels"].get("grafana_dashboard") == "1"
        for name, text in one["data"].items()
    }
    files = {
        f"hemline-{path.name}": path
        for path in (CHARTS / "hemline" / "files" / "dashboards").glob("*.json")
    }
    assert {name: json.loads(text) for name, text in boards.items()} == {
        name: json.loads(path.read_text()) for name, path in files.items()
    }
    groups = [
        group
        for one in objects
        if one["kind"] == "PrometheusRule"
        for group in one["spec"]["groups"]
    ]
    expected = [
        group
        for path in sorted((CHARTS / "hemline" / "files" / "rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    assert groups == expected


def test_an_alert_that_is_excluded_is_left_out(helm: Any, tmp_path: Path) -> None:
    chart = shutil.copytree(CHARTS / "hemline", tmp_path / "hemline")
    rules = [
        {"alert": "One", "expr": "a > 1", "annotations": {"summary": "{{ $labels.pod }}"}},
        {"alert": "Two", "expr": "b > 1"},
        {"record": "c:rate", "expr": "rate(c[5m])"},
    ]
    groups = [{"name": "some", "rules": rules}, {"name": "other", "rules": rules[1:2]}]
    for path in (chart / "files" / "rules").glob("*.yaml"):
        path.unlink()
    (chart / "files" / "rules").mkdir(exist_ok=True)
    (chart / "files" / "rules" / "made_up.yaml").write_text(yaml.safe_dump({"groups": groups}))

    def rendered(exclude: list[str]) -> Any:
        values = {"monitoring": {"rules": {"enabled": True, "exclude": exclude}}}
        objects = helm.objects(values, chart=chart)
        (one,) = [one for one in objects if one["kind"] == "PrometheusRule"]
        return one["spec"]["groups"]

    assert rendered([]) == groups
    assert rendered(["Two"]) == [{"name": "some", "rules": [rules[0], rules[2]]}]


def test_the_plain_kafka_is_the_charts(helm: Any, pick: Any) -> None:
    objects = helm.objects(files=["values-kind.yaml"])
    plain = [one for one in yaml.safe_load_all((ROOT / "k8s" / "kafka.yaml").read_text()) if one]
    assert len(plain) == 2
    for one in plain:
        assert one["spec"] == pick(objects, one["kind"], one["metadata"]["name"])["spec"]


def test_the_notes_name_three_commands(helm: Any) -> None:
    for values in ([], ["values-kind.yaml"], ["values-production.yaml"]):
        arguments = [part for file in values for part in ("--values", CHARTS / "hemline" / file)]
        done = helm.run(
            "install",
            "hemline",
            CHARTS / "hemline",
            "--dry-run=client",
            "--namespace",
            "vision",
            *arguments,
        )
        assert done.returncode == 0, done.stderr
        notes = done.stdout.split("NOTES:")[1]
        commands = [
            line for line in notes.splitlines() if line.startswith(("  kubectl ", "  helm "))
        ]
        assert len(commands) == 3, notes
        assert all("--namespace vision" in command for command in commands)
