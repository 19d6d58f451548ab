{{/*
What pods have in common. Unless it says otherwise, everything here takes a dict:
  root       the root context
  component  the value of the label app.kubernetes.io/component
  values     the component's block of values
*/}}

{{/*
The pod's identity, rights and place. Also takes class, for its priority, and callsApi: false where
it has another component's account and not its right to call the API server.
*/}}
{{- define "zeroloop.pod" -}}
serviceAccountName: {{ include "zeroloop.serviceAccountName" . }}
automountServiceAccountToken: {{ and (ne .callsApi false) (has .component (include "zeroloop.apiCallers" .root | fromYamlArray)) }}
# An injected ZEROLOOP_BUFFER_PORT would look like one of our settings.
enableServiceLinks: false
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "zeroloop.podSecurityContext" . | nindent 2 }}
{{- with include "zeroloop.priorityClassName" . }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "zeroloop.spread" . }}
topologySpreadConstraints: {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A constraint without a labelSelector is about the component's own pods. */}}
{{- define "zeroloop.spread" -}}
{{- $own := dict "labelSelector" (dict "matchLabels" (include "zeroloop.selectorLabels" . | fromYaml)) -}}
{{- $constraints := list -}}
{{- range .values.topologySpreadConstraints -}}
{{- $constraints = append $constraints (merge (deepCopy .) $own) -}}
{{- end -}}
{{- if $constraints }}{{ toYaml $constraints }}{{ end -}}
{{- end -}}

{{/* As PodSecurity `restricted` asks. Execution differs, see templates/execution. */}}
{{- define "zeroloop.podSecurityContext" -}}
{{- if eq .component "execution" -}}
# Root inside gVisor only: the supervisor gives each worker a user of its own.
runAsNonRoot: false
runAsUser: 0
runAsGroup: 0
{{- else -}}
runAsNonRoot: true
{{- with .root.Values.podSecurityContext.runAsUser }}
runAsUser: {{ int64 . }}
{{- end }}
{{- with .root.Values.podSecurityContext.runAsGroup }}
runAsGroup: {{ int64 . }}
{{- end }}
{{- with .root.Values.podSecurityContext.fsGroup }}
fsGroup: {{ int64 . }}
# Else every start walks through all files of the runs.
fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "zeroloop.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  {{- if eq .component "execution" }}
  # It gives each sandbox users of its own; all other rights it has in a user namespace only.
  add: [SETUID, SETGID]
  {{- end }}
{{- end -}}

{{/*
The environment of a container, as a list. Also takes
  service  the part of ZEROLOOP_<SERVICE>__<FIELD>; "" for a container without settings
  own      variables that the template knows, as a list
A later variable replaces an earlier one of the same name: settings, then the user's extraEnv.
*/}}
{{- define "zeroloop.env" -}}
{{- $all := concat (include "zeroloop.home" . | fromYamlArray) .own -}}
{{- $service := .service -}}
{{- range $name, $value := ternary .values.settings dict (ne $service "") -}}
{{- $text := ternary $value (toJson $value) (kindIs "string" $value) -}}
{{- $variable := printf "ZEROLOOP_%s__%s" $service (upper $name) -}}
{{- $all = append $all (dict "name" $variable "value" $text) -}}
{{- end -}}
{{- if ne .component "execution" -}}
{{- $all = concat $all (include "zeroloop.telemetryEnv" . | fromYamlArray) -}}
{{- end -}}
{{- $all = concat $all .values.extraEnv -}}
{{- $seen := dict -}}
{{- $kept := list -}}
{{- range reverse $all -}}
{{- if not (hasKey $seen .name) -}}
{{- $_ := set $seen .name true -}}
{{- $kept = prepend $kept . -}}
{{- end -}}
{{- end -}}
{{- toYaml $kept -}}
{{- end -}}

{{/* The user may have no entry in the image's password file, as on OpenShift. */}}
{{- define "zeroloop.home" -}}
- name: HOME
  value: /tmp
- name: USER
  value: zeroloop
{{- end -}}

{{/* What every gRPC server is told, as a list of variables. Also takes service. */}}
{{- define "zeroloop.serverEnv" -}}
{{- $prefix := printf "ZEROLOOP_%s__" .service -}}
- name: {{ $prefix }}HOST
  value: 0.0.0.0
- name: {{ $prefix }}PORT
  value: "50051"
- name: {{ $prefix }}HEALTH_PORT
  value: "50052"
{{ include "zeroloop.authEnv" . }}
{{- with include "zeroloop.tlsEnv" . | fromYamlArray }}
{{ toYaml . }}
{{- end }}
- name: {{ $prefix }}LOG_LEVEL
  value: {{ .root.Values.logLevel }}
- name: {{ $prefix }}DRAIN_S
  value: {{ .values.drainSeconds | int | quote }}
- name: {{ $prefix }}DRAIN_DELAY_S
  value: {{ .values.drainDelaySeconds | int | quote }}
{{- if .root.Values.metrics.enabled }}
- name: {{ $prefix }}METRICS_PORT
  value: {{ .root.Values.metrics.port | int | quote }}
{{- end }}
{{- end -}}

{{/* Above the time that a server takes to drain. */}}
{{- define "zeroloop.graceSeconds" -}}
{{- add (int .values.drainSeconds) (int .values.drainDelaySeconds) 10 -}}
{{- end -}}

{{- define "zeroloop.telemetryEnv" -}}
{{- $tracing := .root.Values.tracing -}}
{{- if $tracing.otlpEndpoint -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $tracing.otlpEndpoint | quote }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ $tracing.sampleRatio | toString | quote }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ include "zeroloop.resourceAttributes" . | quote }}
{{- with $tracing.headersSecret.name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $tracing.headersSecret.key }}}}
{{- end }}
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{- define "zeroloop.resourceAttributes" -}}
service.namespace={{ .root.Release.Namespace }},service.instance.id=$(POD_UID),
{{- ""}}k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.name=$(POD_NAME),k8s.pod.uid=$(POD_UID),
{{- ""}}k8s.node.name=$(NODE_NAME),k8s.container.name={{ .component }}
{{- range $name, $value := .root.Values.tracing.resourceAttributes }},{{ $name }}={{ $value }}{{ end }}
{{- end -}}

{{/*
Health of a gRPC server, as its process sees itself, on the port where the kubelet needs neither
token nor certificate. Until the start probe has succeeded once
the others are not made.
*/}}
{{- define "zeroloop.probes" -}}
startupProbe:
  grpc: {port: 50052}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: {{ div (int .values.startSeconds) 2 }}
readinessProbe:
  grpc: {port: 50052}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  grpc: {port: 50052}
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: {{ max 3 (div (int .values.unhealthySeconds) 20) }}
{{- end -}}

{{/* Volumes and mounts of every pod, and the user's. */}}
{{- define "zeroloop.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .values.tmpSize }}
{{- with include "zeroloop.securityVolumes" . | fromYamlArray }}
{{ toYaml . }}
{{- end }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "zeroloop.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- with include "zeroloop.securityMounts" . | fromYamlArray }}
{{ toYaml . }}
{{- end }}
{{- with .values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The runs, and the models that are not fetched: for controller, inference and trainer. */}}
{{- define "zeroloop.dataVolumes" -}}
{{- if include "zeroloop.usesRuns" . }}
- name: runs
  persistentVolumeClaim:
    claimName: {{ include "zeroloop.runsClaim" .root }}
{{- end }}
{{- with .root.Values.models.volume }}
- name: models
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "zeroloop.weightsVolumes" . }}
{{- end -}}

{{/* An engine reads weights there and nothing else. */}}
{{- define "zeroloop.usesRuns" -}}
{{- if not (and (eq .component "inference") .root.Values.weights.store) }}true{{ end -}}
{{- end -}}

{{/* Only the engine does not write there. */}}
{{- define "zeroloop.dataVolumeMounts" -}}
{{- if include "zeroloop.usesRuns" . }}
- name: runs
  mountPath: /var/lib/zeroloop/runs
  {{- if eq .component "inference" }}
  readOnly: true
  {{- end }}
{{- end }}
{{- if .root.Values.models.volume }}
- name: models
  mountPath: /models
  readOnly: true
{{- end }}
{{- include "zeroloop.weightsVolumeMounts" . }}
{{- end -}}

{{/* The start of a container. Also takes image, a block of values. */}}
{{- define "zeroloop.containerImage" -}}
image: {{ include "zeroloop.image" (dict "root" .root "image" .image) }}
imagePullPolicy: {{ .image.pullPolicy }}
# What a container says when it refuses to start shows in `kubectl describe pod`.
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}
