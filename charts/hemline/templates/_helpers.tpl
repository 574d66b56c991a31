{{/* The chart's name. */}}
{{- define "hemline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The first part of the names of the release's objects. */}}
{{- define "hemline.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "hemline.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "hemline.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "hemline.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* Labels that select a component's pods: hemline.selector (list $ "operator") */}}
{{- define "hemline.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: hemline-{{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- end -}}

{{/* Labels of every object: hemline.labels (list $ "operator") */}}
{{- define "hemline.labels" -}}
{{- $root := index . 0 -}}
{{ include "hemline.selector" . }}
app.kubernetes.io/part-of: hemline
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of an object: hemline.metadata (dict "root" $ "name" … "component" … "labels" … "annotations" … "cluster" true) */}}
{{- define "hemline.metadata" -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ default (include "hemline.namespace" .root) .namespace }}
{{- end }}
labels:
  {{- include "hemline.labels" (list .root .component) | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image's full name: hemline.image (list $ .Values.operator.image) */}}
{{- define "hemline.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := default $root.Values.image.registry $image.registry -}}
{{- $tag := coalesce $image.tag $root.Values.image.tag $root.Chart.AppVersion -}}
{{- if $registry }}{{ trimSuffix "/" $registry }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $tag }}{{ end -}}
{{- end -}}

{{- define "hemline.operator.account" -}}
{{- if .Values.operator.serviceAccount.create -}}
{{- default (printf "%s-operator" (include "hemline.fullname" .)) .Values.operator.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.operator.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Namespaces that the operator looks after, as a JSON list; empty: all. */}}
{{- define "hemline.operator.namespaces" -}}
{{- if eq .Values.operator.scope "Cluster" -}}
[]
{{- else -}}
{{- default (list (include "hemline.namespace" .)) .Values.operator.namespaces | toJson -}}
{{- end -}}
{{- end -}}

{{/* What every pod of the chart has in common. */}}
{{- define "hemline.pod" -}}
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The example classifier's spec with the chart's Kafka filled in, as JSON. What the values say comes first. */}}
{{- define "hemline.classifier.spec" -}}
{{- $spec := deepCopy .Values.classifier.spec -}}
{{- if .Values.kafka.enabled -}}
{{- $bootstrap := printf "%s-kafka-bootstrap.%s.svc" .Values.kafka.name (include "hemline.namespace" .) -}}
{{- $broker := dict "type" "Kafka" "address" (print $bootstrap ":9092") "strimziCluster" .Values.kafka.name -}}
{{- if eq .Values.kafka.authentication "ScramSha512" -}}
{{- $broker = merge (dict "address" (print $bootstrap ":9093") "tls" "Enabled" "sasl" "SCRAM-SHA-512") $broker -}}
{{- end -}}
{{- $copies := dict "replicas" (min 3 .Values.kafka.replicas) -}}
{{- $spec = mergeOverwrite (dict "broker" $broker "topics" $copies) $spec -}}
{{- end -}}
{{- if and .Values.classifier.enabled (not (dig "broker" "address" "" $spec)) -}}
{{- fail "classifier.enabled needs a broker: set kafka.enabled for one of Strimzi's, or classifier.spec.broker.type and .address for yours" -}}
{{- end -}}
{{- $spec | toJson -}}
{{- end -}}

{{/* The broker as the simulator's option names it, with what topics are made with: as the operator does it. */}}
{{- define "hemline.broker.url" -}}
{{- $spec := include "hemline.classifier.spec" . | fromJson -}}
{{- $topics := default (dict) $spec.topics -}}
{{- $seconds := mul 3600 (default 168 $topics.retentionHours) -}}
{{- if eq (default "Kafka" $spec.broker.type) "PubSub" -}}
{{- /* The longest that Pub/Sub keeps a message: 31 days. */ -}}
pubsub://{{ $spec.broker.address }}?retention={{ min $seconds 2678400 }}
{{- with $spec.broker.endpoint }}&endpoint={{ urlquery . }}{{ end -}}
{{- else -}}
kafka://{{ $spec.broker.address }}?retention={{ $seconds }}&partitions={{ default 3 $topics.partitions }}
{{- with $topics.replicas }}&replication={{ . }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Strimzi's user of the classifier, and the Secret that Strimzi makes for it. */}}
{{- define "hemline.broker.user" -}}
{{- printf "%s.%s" (include "hemline.namespace" .) .Values.classifier.name -}}
{{- end -}}

{{/* The Secret that is mounted: Google's libraries read their key from a file. */}}
{{- define "hemline.broker.file" -}}
{{- $broker := (include "hemline.classifier.spec" . | fromJson).broker -}}
{{- if eq (default "Kafka" $broker.type) "PubSub" -}}
{{- default "" $broker.secretName -}}
{{- end -}}
{{- end -}}

{{/* Environment of a client of the broker: a test holds it against what the operator gives to a classifier's pods. */}}
{{- define "hemline.broker.env" -}}
{{- $broker := (include "hemline.classifier.spec" . | fromJson).broker -}}
{{- $secret := default (include "hemline.broker.user" .) $broker.secretName -}}
{{- if eq (default "Kafka" $broker.type) "PubSub" -}}
{{- if $broker.secretName }}
- name: GOOGLE_APPLICATION_CREDENTIALS
  value: /etc/hemline/broker/key.json
{{- end }}
{{- else -}}
{{- $tls := eq (default "Disabled" $broker.tls) "Enabled" -}}
{{- if or $tls $broker.sasl }}
- name: HEMLINE_KAFKA_SECURITY_PROTOCOL
  value: {{ if $broker.sasl }}SASL_{{ end }}{{ if $tls }}SSL{{ else }}PLAINTEXT{{ end }}
{{- end }}
{{- if and $tls (or $broker.secretName $broker.strimziCluster) }}
- name: HEMLINE_KAFKA_CA_PEM
  valueFrom:
    secretKeyRef:
      name: {{ default (printf "%s-cluster-ca-cert" $broker.strimziCluster) $broker.secretName }}
      key: ca.crt
      optional: true
{{- end }}
{{- if and $tls $broker.secretName }}
- name: HEMLINE_KAFKA_CERT_PEM
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: tls.crt
      optional: true
- name: HEMLINE_KAFKA_KEY_PEM
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: tls.key
      optional: true
{{- end }}
{{- if $broker.sasl }}
- name: HEMLINE_KAFKA_SASL_MECHANISM
  value: {{ $broker.sasl }}
- name: HEMLINE_KAFKA_USERNAME
  {{- if $broker.secretName }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: username
  {{- else }}
  value: {{ $secret }}
  {{- end }}
- name: HEMLINE_KAFKA_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: password
{{- end }}
{{- end -}}
{{- end -}}
