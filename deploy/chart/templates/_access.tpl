{{/* How a process reaches Temporal and Vault, and the files that it needs for that. */}}
{{- define "giantnetes.env" -}}
{{- $values := .root.Values -}}
- {name: TEMPORAL_ADDRESS, value: {{ $values.temporal.address | quote }}}
- {name: TEMPORAL_NAMESPACE, value: {{ $values.temporal.namespace | quote }}}
- {name: TEMPORAL_CONFIG_FILE, value: /dev/null}
{{- with $values.temporal.tls }}
{{- if .secretName }}
- {name: TEMPORAL_TLS_CLIENT_CERT_PATH, value: /etc/giantnetes/temporal/tls.crt}
- {name: TEMPORAL_TLS_CLIENT_KEY_PATH, value: /etc/giantnetes/temporal/tls.key}
- {name: TEMPORAL_TLS_SERVER_CA_CERT_PATH, value: /etc/giantnetes/temporal/ca.crt}
{{- end }}
{{- with .serverName }}
- {name: TEMPORAL_TLS_SERVER_NAME, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- with $values.temporal.apiKey }}
{{- if .secretName }}
- name: TEMPORAL_API_KEY
  valueFrom:
    secretKeyRef: {name: {{ .secretName }}, key: {{ .key }}}
{{- end }}
{{- end }}
{{- if has .name (splitList " " (include "giantnetes.vault" .root)) }}
- {name: VAULT_ADDR, value: {{ $values.vault.address | quote }}}
- {name: GIANTNETES_VAULT_AUTH, value: {{ $values.vault.auth.method }}}
{{- if eq $values.vault.auth.method "kubernetes" }}
- {name: GIANTNETES_VAULT_MOUNT, value: {{ $values.vault.auth.mount | quote }}}
- {name: GIANTNETES_VAULT_TOKEN_FILE, value: /var/run/secrets/giantnetes/vault/token}
{{- else }}
- {name: GIANTNETES_APPROLES, value: /var/run/secrets/giantnetes/vault}
{{- end }}
{{- if or $values.vault.ca.secretName $values.vault.ca.configMapName }}
- {name: VAULT_CACERT, value: /etc/giantnetes/vault/ca.crt}
{{- end }}
{{- end }}
{{- with $values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "giantnetes.mounts" -}}
{{- $found := list -}}
{{- range include "giantnetes.files" . | fromYamlArray -}}
{{- $found = append $found (dict "name" .volume.name "mountPath" .path "readOnly" true) -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{- define "giantnetes.volumes" -}}
{{- $found := list -}}
{{- range include "giantnetes.files" . | fromYamlArray -}}
{{- $found = append $found .volume -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{/* The volumes of a process, each with the folder that it is mounted at. */}}
{{- define "giantnetes.files" -}}
{{- $values := .root.Values -}}
{{- with $values.temporal.tls.secretName }}
- path: /etc/giantnetes/temporal
  volume:
    name: temporal
    secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- if eq .name "worker-vault" }}
- path: /etc/giantnetes/quotas
  volume:
    name: quotas
    configMap: {name: giantnetes-quotas}
{{- end }}
{{- if has .name (splitList " " (include "giantnetes.vault" .root)) }}
- path: /var/run/secrets/giantnetes/vault
  volume:
    name: vault-login
    {{- if eq $values.vault.auth.method "kubernetes" }}
    projected:
      defaultMode: 0440
      sources:
        - serviceAccountToken: {path: token, audience: {{ $values.vault.auth.audience | quote }}, expirationSeconds: 3600}
    {{- else }}
    secret:
      secretName: {{ $values.vault.auth.approleSecretName }}
      defaultMode: 0440
      items:
        {{- range get (include "giantnetes.tasks" .root | fromYaml) .name }}
        - {key: {{ . }}.json, path: {{ . }}.json}
        {{- end }}
    {{- end }}
{{- with $values.vault.ca }}
{{- if or .secretName .configMapName }}
- path: /etc/giantnetes/vault
  volume:
    name: vault-ca
    {{- if .secretName }}
    secret:
      secretName: {{ .secretName }}
    {{- else }}
    configMap:
      name: {{ .configMapName }}
    {{- end }}
      items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- end }}
{{- end }}
