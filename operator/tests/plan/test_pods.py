"""What the pods are given: credentials as the services read them, storage, and where they run."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hemline_api.resources import ClassifierSpec
from hemline_api.rollout import Rollout
from hemline_broker._kafka._settings import Settings
from hemline_broker._pubsub._settings import Settings as PubsubSettings
from hemline_broker._url import BrokerURL
from hemline_operator.plan import Capabilities, Key, Owner, Platform, desired, optional

KEY = Key("shop", "mnist")
OWNER = Owner("hemline.dev/v1alpha1", "ImageClassifier", "mnist", "uid-1")
KAFKA = {"type": "Kafka", "address": "one:9093,two:9093"}
PUB_SUB = {"type": "PubSub", "address": "my-project"}
EVERYTHING = Capabilities(
    kafka_topic="v1", kafka_user="v1", scaled_object="v1alpha1", pod_monitor="v1"
)
PLATFORM = Platform(capabilities=EVERYTHING)


def spec_of(broker: Mapping[str, Any], **spec: Any) -> ClassifierSpec:
    return ClassifierSpec.model_validate({"broker": broker, **spec})


def children(broker: Mapping[str, Any], **spec: Any) -> dict[tuple[str, str], dict[str, Any]]:
    made = desired(KEY, OWNER, spec_of(broker, **spec), Rollout(revision=1, stable=1), Platform())
    return {(one["kind"], one["metadata"]["name"]): one for one in made}


def others(
    broker: Mapping[str, Any], *, platform: Platform = PLATFORM, **spec: Any
) -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in optional(KEY, OWNER, spec_of(broker, **spec), platform)}


def pod(component: str, broker: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
    deployment = children(broker, **spec)["Deployment", f"mnist-{component}"]
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


def environment(
    container: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """The variables as the kubelet would set them from these Secrets."""
    found = {}
    for one in container["env"]:
        if "value" in one:
            found[one["name"]] = one["value"]
            continue
        reference = one["valueFrom"]["secretKeyRef"]
        entries = secrets.get(reference["name"], {})
        if reference["key"] in entries:
            found[one["name"]] = entries[reference["key"]]
        elif not reference.get("optional"):
            raise AssertionError(f"the pod would not start: {reference}")
    return found


def client(
    broker: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]]
) -> Mapping[str, Any]:
    """The settings that inference and collect give to librdkafka."""
    seen = []
    for component in ("inference", "collect"):
        (container,) = pod(component, broker)["containers"]
        url = container["command"][container["command"].index("--broker") + 1]
        variables = environment(container, secrets)
        seen.append(Settings.parse(BrokerURL.parse(url), variables).client)
    assert seen[0] == seen[1]
    return seen[0]


def test_topics_are_made_as_the_classifier_says() -> None:
    def made(**spec: Any) -> tuple[int, int, int | None]:
        (container,) = pod("inference", KAFKA, **spec)["containers"]
        url = container["command"][container["command"].index("--broker") + 1]
        settings = Settings.parse(BrokerURL.parse(url), {})
        return settings.partitions, settings.replication, settings.retention_s

    assert made() == (3, -1, 168 * 3600)
    topics = {"partitions": 12, "replicas": 2, "retentionHours": 1}
    assert made(topics=topics) == (12, 2, 3600)


def test_kafka_without_credentials() -> None:
    settings = client(KAFKA, {})
    assert settings["bootstrap.servers"] == "one:9093,two:9093"
    assert "security.protocol" not in settings


def test_kafka_with_a_login_and_its_own_authority() -> None:
    broker = {**KAFKA, "tls": "Enabled", "sasl": "SCRAM-SHA-512", "secretName": "login"}
    secret = {"username": "u", "password": "p", "ca.crt": "authority"}
    settings = client(broker, {"login": secret})
    assert settings["security.protocol"] == "SASL_SSL"
    assert settings["sasl.mechanism"] == "SCRAM-SHA-512"
    assert (settings["sasl.username"], settings["sasl.password"]) == ("u", "p")
    assert settings["ssl.ca.pem"] == "authority"


def test_kafka_with_a_login_and_an_authority_that_the_system_knows() -> None:
    broker = {**KAFKA, "tls": "Enabled", "sasl": "PLAIN", "secretName": "login"}
    settings = client(broker, {"login": {"username": "u", "password": "p"}})
    assert settings["security.protocol"] == "SASL_SSL"
    assert not any(name.startswith("ssl.") for name in settings)


def test_kafka_with_a_login_but_no_tls() -> None:
    broker = {**KAFKA, "sasl": "SCRAM-SHA-256", "secretName": "login"}
    settings = client(broker, {"login": {"username": "u", "password": "p"}})
    assert settings["security.protocol"] == "SASL_PLAINTEXT"


def test_kafka_with_a_client_certificate() -> None:
    broker = {**KAFKA, "tls": "Enabled", "secretName": "pair"}
    settings = client(broker, {"pair": {"tls.crt": "mine", "tls.key": "key", "ca.crt": "theirs"}})
    assert settings["security.protocol"] == "SSL"
    pair = (settings["ssl.certificate.pem"], settings["ssl.key.pem"], settings["ssl.ca.pem"])
    assert pair == ("mine", "key", "theirs")


def test_strimzi_brings_its_own_user_and_authority() -> None:
    broker = {**KAFKA, "tls": "Enabled", "sasl": "SCRAM-SHA-512", "strimziCluster": "main"}
    secrets = {
        "shop.mnist": {"password": "p", "sasl.jaas.config": "x"},
        "main-cluster-ca-cert": {"ca.crt": "authority", "ca.p12": "x"},
    }
    settings = client(broker, secrets)
    assert (settings["sasl.username"], settings["sasl.password"]) == ("shop.mnist", "p")
    assert settings["ssl.ca.pem"] == "authority"
    assert others(broker)["KafkaUser"]["metadata"]["name"] == "shop.mnist"


@pytest.mark.parametrize("component", ["inference", "collect"])
def test_pub_sub_with_a_key_and_with_workload_identity(component: str) -> None:
    keyed = pod(component, {**PUB_SUB, "secretName": "key"})
    (container,) = keyed["containers"]
    assert "pubsub://my-project?retention=604800" in container["command"]
    path = environment(container, {})["GOOGLE_APPLICATION_CREDENTIALS"]
    (mount,) = [one for one in container["volumeMounts"] if path.startswith(one["mountPath"] + "/")]
    (volume,) = [one for one in keyed["volumes"] if one["name"] == mount["name"]]
    assert volume["secret"] == {"secretName": "key"}
    assert path == f"{mount['mountPath']}/key.json"

    (container,) = pod(component, PUB_SUB)["containers"]
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in environment(container, {})


def test_pub_sub_by_another_endpoint_and_with_a_retention_that_it_can_hold() -> None:
    broker = {**PUB_SUB, "endpoint": "europe-west1-pubsub.googleapis.com:443"}
    (container,) = pod("inference", broker, topics={"retentionHours": 87_600})["containers"]
    url = container["command"][container["command"].index("--broker") + 1]
    settings = PubsubSettings.parse(BrokerURL.parse(url), {})
    assert settings.project == "my-project"
    assert settings.endpoint == "europe-west1-pubsub.googleapis.com:443"
    assert settings.secure
    assert settings.retention_s == 31 * 86_400


def test_the_account_carries_what_binds_it_to_an_identity() -> None:
    bound = {"annotations": {"iam.gke.io/gcp-service-account": "a@b.iam.gserviceaccount.com"}}
    made = children(PUB_SUB, serviceAccount=bound)
    account = made["ServiceAccount", "mnist-hemline"]
    assert account["metadata"]["annotations"].items() >= bound["annotations"].items()
    assert pod("inference", PUB_SUB)["serviceAccountName"] == "mnist-hemline"


def test_credentials_go_where_the_broker_is_spoken_to_and_nowhere_else() -> None:
    broker = {**KAFKA, "tls": "Enabled", "sasl": "PLAIN", "secretName": "login"}
    serving = pod("serve", broker)
    assert "login" not in str(serving)


SCALED: dict[str, Any] = {"autoscaling": {"mode": "Enabled", "lag": 50, "maxReplicas": 7}}


def test_keda_counts_what_waits_with_the_login_of_the_pods() -> None:
    broker = {**KAFKA, "tls": "Enabled", "sasl": "SCRAM-SHA-512", "secretName": "login"}
    made = others(broker, inference=SCALED)
    scaled, login = made["ScaledObject"]["spec"], made["TriggerAuthentication"]["spec"]
    (trigger,) = scaled["triggers"]
    assert trigger["metadata"]["consumerGroup"] == "shop.mnist.images.inference"
    assert trigger["metadata"]["lagThreshold"] == "50"
    assert trigger["metadata"]["sasl"] == "scram_sha512"
    assert trigger["authenticationRef"] == {"name": "mnist-inference"}
    (container,) = pod("inference", broker)["containers"]
    variables = {one["name"] for one in container["env"]}
    assert {one["name"] for one in login["env"]} <= variables
    assert {one["containerName"] for one in login["env"]} == {container["name"]}
    assert {"parameter": "ca", "name": "login", "key": "ca.crt"} in login["secretTargetRef"]
    assert "TriggerAuthentication" not in others(KAFKA, inference=SCALED)


def test_keda_counts_a_pub_sub_subscription() -> None:
    made = others(PUB_SUB, inference=SCALED)
    (trigger,) = made["ScaledObject"]["spec"]["triggers"]
    assert trigger["metadata"]["subscriptionName"] == (
        "projects/my-project/subscriptions/shop.mnist.images.inference"
    )
    assert made["TriggerAuthentication"]["spec"] == {"podIdentity": {"provider": "gcp"}}
    keyed = others({**PUB_SUB, "secretName": "key"}, inference=SCALED)
    (parameter,) = keyed["TriggerAuthentication"]["spec"]["secretTargetRef"]
    assert parameter["name"] == "key"


def test_keda_counts_on_pub_sub_what_the_lake_says_where_prometheus_can_be_asked() -> None:
    platform = replace(PLATFORM, prometheus="http://prometheus:9090")
    made = others(PUB_SUB, platform=platform, inference=SCALED)
    scaled = made["ScaledObject"]["spec"]
    (trigger,) = scaled["triggers"]
    assert trigger["metadata"] == {
        "serverAddress": "http://prometheus:9090",
        "query": 'max(hemline_serve_unanswered_images{namespace="shop",classifier="mnist"})',
        "threshold": "50",
        "ignoreNullValues": "false",
    }
    assert scaled["fallback"]["replicas"] == max(1, scaled["minReplicaCount"])
    assert "TriggerAuthentication" not in made
    (kafka,) = others(KAFKA, platform=platform, inference=SCALED)["ScaledObject"]["spec"][
        "triggers"
    ]
    assert kafka["type"] == "kafka"


def test_pods_are_scraped_with_the_labels_that_dashboards_select_by() -> None:
    (endpoint,) = others(KAFKA)["PodMonitor"]["spec"]["podMetricsEndpoints"]
    labels = {one["targetLabel"]: one["sourceLabels"] for one in endpoint["relabelings"]}
    assert labels == {
        "classifier": ["__meta_kubernetes_pod_label_hemline_dev_classifier"],
        "component": ["__meta_kubernetes_pod_label_hemline_dev_component"],
    }
    assert {"hemline.dev/classifier", "hemline.dev/component"} <= children(KAFKA)[
        "Deployment", "mnist-serve"
    ]["spec"]["template"]["metadata"]["labels"].keys()


@pytest.mark.parametrize("component", ["inference", "collect", "serve"])
def test_a_volume_of_one_node_keeps_every_pod_on_it(component: str) -> None:
    made = pod(component, KAFKA)
    (term,) = made["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    labels = children(KAFKA)["Deployment", f"mnist-{component}"]["spec"]["template"]["metadata"]
    # The first pod finds no other: it is let in because it matches the term itself.
    assert term["labelSelector"]["matchLabels"].items() <= labels["labels"].items()
    shared = pod(component, KAFKA, storage={"accessMode": "ReadWriteMany"})
    assert "affinity" not in shared
    assert {"name": "lake", "persistentVolumeClaim": {"claimName": "mnist-lake"}} in shared[
        "volumes"
    ]


@pytest.mark.parametrize("component", ["inference", "collect", "serve"])
def test_an_object_store_needs_no_volume(component: str) -> None:
    storage = {"uri": "s3://bucket/lake", "secretName": "s3"}
    made = pod(component, KAFKA, storage=storage)
    assert "affinity" not in made
    assert not any("persistentVolumeClaim" in volume for volume in made["volumes"])
    for container in [*made["containers"], *made.get("initContainers", ())]:
        assert "s3://bucket/lake" in container["command"]
        assert container["envFrom"] == [{"secretRef": {"name": "s3"}}]
    assert ("PersistentVolumeClaim", "mnist-lake") not in children(KAFKA, storage=storage)


def test_a_new_lake_is_filled_before_it_is_served() -> None:
    made = pod("serve", KAFKA, model={"initial": "/models/mine"}, dataset={"initial": "none"})
    (fill,) = made["initContainers"]
    assert fill["command"][:2] == ["hemline-samples", "init"]
    options = dict(zip(fill["command"][2::2], fill["command"][3::2], strict=True))
    assert options["--model"] == "/models/mine"
    assert options["--data"] == "none"


def test_upkeep_runs_on_a_schedule_of_its_own_and_can_be_held() -> None:
    cron = children(KAFKA)["CronJob", "mnist-upkeep"]["spec"]
    minute, rest = cron["schedule"].split(" ", 1)
    assert 0 <= int(minute) < 60
    assert rest == "* * * *"
    assert cron["suspend"] is False
    upkeep = {"mode": "Disabled", "schedule": "30 3 * * *", "expireUnlabelledHours": 720}
    held = children(KAFKA, samples={"upkeep": upkeep})["CronJob", "mnist-upkeep"]["spec"]
    assert (held["suspend"], held["schedule"]) == (True, "30 3 * * *")
    (container,) = held["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][-2:] == ["--expire-unlabelled", "720"]
