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
{{- define "giantnetes.vault" -}}worker-planning worker-vault worker-kubernetes worker-probes{{- end }}
{{- define "giantnetes.guests" -}}worker-kubernetes worker-probes{{- end }}

{{/* The port of a URL or of host:port. */}}
{{- define "giantnetes.port" -}}
{{- $address := . | trimPrefix "https://" | trimPrefix "http://" | splitList "/" | first -}}
{{- if regexMatch ":[0-9]+$" $address }}{{ regexFind "[0-9]+$" $address }}
{{- else if hasPrefix "https://" . }}443{{ else }}80{{ end }}
{{- end }}
