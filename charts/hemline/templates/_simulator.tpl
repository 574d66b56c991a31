{{/* The simulator's container, without image, ports and probes: hemline.simulator (dict "root" $ "arguments" … "drift" …) */}}
{{- define "hemline.simulator" -}}
{{- $root := .root -}}
command:
  - hemline-client-sim
args:
  - {{ printf "--broker=%s" (include "hemline.broker.url" $root) | quote }}
  - --classifier={{ $root.Values.classifier.name }}
  - --namespace={{ include "hemline.namespace" $root }}
  {{- range .arguments }}
  - {{ . | quote }}
  {{- end }}
  {{- range .drift }}
  - {{ printf "--drift=%s" . | quote }}
  {{- end }}
env:
  - name: HOME
    value: /tmp
  {{- include "hemline.broker.env" $root | nindent 2 }}
securityContext:
  {{- toYaml $root.Values.containerSecurityContext | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  - name: books
    mountPath: /books
  {{- if include "hemline.broker.file" $root }}
  - name: broker
    mountPath: /etc/hemline/broker
    readOnly: true
  {{- end }}
{{- end -}}

{{/* Whose identity a client has. On Pub/Sub without a key: the classifier's account, which the operator makes. */}}
{{- define "hemline.simulator.pod" -}}
automountServiceAccountToken: false
{{- $broker := (include "hemline.classifier.spec" . | fromJson).broker }}
{{- if and (eq (default "Kafka" $broker.type) "PubSub") (not $broker.secretName) }}
serviceAccountName: {{ .Values.classifier.name }}-hemline
{{- end }}
{{ include "hemline.pod" . }}
volumes:
  - name: tmp
    emptyDir: {}
  - name: books
    emptyDir:
      sizeLimit: 1Gi
  {{- with include "hemline.broker.file" . }}
  - name: broker
    secret:
      secretName: {{ . }}
  {{- end }}
{{- end -}}
