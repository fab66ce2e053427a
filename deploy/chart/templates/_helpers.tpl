{{- define "giantnetes.labels" -}}
{{ include "giantnetes.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "giantnetes.selector" -}}
app.kubernetes.io/name: giantnetes
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "giantnetes.metadata" -}}
name: giantnetes-{{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "giantnetes.labels" .root | nindent 2 }}
{{- end }}

{{- define "giantnetes.image" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{/* The processes that speak to this cluster's API, that log in to Vault, and that speak to guest clusters. */}}
{{- define "giantnetes.api" -}}bridge worker-host{{- end }}
{{- define "giantnetes.vault" -}}{{ include "giantnetes.tasks" . | fromYaml | keys | sortAlpha | join " " }}{{- end }}
{{- define "giantnetes.guests" -}}worker-kubernetes worker-probes{{- end }}

{{/* Whose logins to Vault each process has; vault.sh lets their service accounts in to the same ones. */}}
{{- define "giantnetes.tasks" -}}
worker-planning: [planner]
worker-vault: [mount-admin, registry, sealer, signer]
worker-kubernetes: [prober]
worker-probes: [prober]
{{- end }}

{{/* The port of a URL or of host:port. */}}
{{- define "giantnetes.port" -}}
{{- $address := . | trimPrefix "https://" | trimPrefix "http://" | splitList "/" | first -}}
{{- if regexMatch ":[0-9]+$" $address }}{{ regexFind "[0-9]+$" $address }}
{{- else if hasPrefix "https://" . }}443{{ else }}80{{ end }}
{{- end }}
