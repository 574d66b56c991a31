#!/usr/bin/env bash
# The charts by helm lint, and what they render by kubeconform against the schemas of the oldest Kubernetes that is
# supported and the newest there is. Run by `make lint`. (Kinds of other operators: tests/cluster/chart, with their definitions.)
set -euo pipefail
cd "$(dirname "$0")/../.."
eval "$(tests/chart/tools.sh)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

.venv/bin/python tests/chart/schemas.py definitions "$scratch/schemas" charts/hemline/crds/*.yaml
for values in charts/hemline/values.yaml charts/hemline/values-*.yaml; do
  helm lint --strict --quiet charts/hemline --values "$values" --set classifier.spec.broker.address=kafka:9092
  helm template hemline charts/hemline --values "$values" --set classifier.spec.broker.address=kafka:9092 \
    >"$scratch/$(basename "$values")"
done
for version in 1.29.0 1.37.0; do
  kubeconform -strict -summary -kubernetes-version "$version" \
    -skip Kafka,KafkaNodePool,PodMonitor,PrometheusRule \
    -schema-location "$HEMLINE_SCHEMAS/{{.NormalizedKubernetesVersion}}/{{.ResourceKind}}{{.KindSuffix}}.json" \
    -schema-location "$scratch/schemas/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json" \
    "$scratch"/*.yaml k8s/*.yaml
done
