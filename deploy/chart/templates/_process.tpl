{{/*
The Deployment of one process, with its service account and disruption budget.
.root, .name, .settings (replicas, resources), .arguments of Python, .probes (a port's name), .ports, .env,
.strategy of its upgrades where it isn't the usual one
*/}}
{{- define "giantnetes.process" -}}
{{- $values := .root.Values -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "giantnetes.metadata" . | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "giantnetes.metadata" . | nindent 2 }}
spec:
  # Not minAvailable, which would keep the node of a single replica from being drained.
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "giantnetes.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .name }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "giantnetes.metadata" . | nindent 2 }}
spec:
  replicas: {{ .settings.replicas }}
  {{- with .strategy }}
  strategy: {type: {{ . }}}
  {{- end }}
  selector:
    matchLabels:
      {{- include "giantnetes.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .name }}
  template:
    metadata:
      labels:
        {{- include "giantnetes.labels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .name }}
    spec:
      serviceAccountName: giantnetes-{{ .name }}
      automountServiceAccountToken: {{ has .name (splitList " " (include "giantnetes.api" .root)) }}
      enableServiceLinks: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
      {{- with $values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          matchLabelKeys: [pod-template-hash]
          labelSelector:
            matchLabels:
              {{- include "giantnetes.selector" .root | nindent 14 }}
              app.kubernetes.io/component: {{ .name }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .name }}
          image: {{ include "giantnetes.image" $values.image | quote }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          args: {{ toJson .arguments }}
          env:
            {{- range $name, $value := .env }}
            - {name: {{ $name }}, value: {{ $value | quote }}}
            {{- end }}
            {{- include "giantnetes.env" . | nindent 12 }}
          ports:
            {{- range $name, $port := .ports }}
            - {name: {{ $name }}, containerPort: {{ $port }}}
            {{- end }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          startupProbe:
            httpGet: {path: /healthz, port: {{ .probes }}}
            periodSeconds: 2
            failureThreshold: 30
          livenessProbe:
            httpGet: {path: /healthz, port: {{ .probes }}}
            timeoutSeconds: 5
          readinessProbe:
            httpGet: {path: /readyz, port: {{ .probes }}}
            timeoutSeconds: 5
          resources: {{- toYaml .settings.resources | nindent 12 }}
          volumeMounts: {{- include "giantnetes.mounts" . | nindent 12 }}
      volumes: {{- include "giantnetes.volumes" . | nindent 8 }}
{{- end }}
