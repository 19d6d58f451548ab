{{/* Names, labels, images. Everything here takes the root context unless it says otherwise. */}}

{{- define "zeroloop.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Room is left for the longest suffix, and for what Kubernetes appends to pods. */}}
{{- define "zeroloop.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "zeroloop.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "zeroloop.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What finds a component's pods; never changes between releases. Takes root, component. */}}
{{- define "zeroloop.selectorLabels" -}}
app.kubernetes.io/name: {{ include "zeroloop.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of a component's pods. Takes root, component. */}}
{{- define "zeroloop.podLabels" -}}
{{- $own := dict
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/part-of" "zeroloop"
-}}
{{- $selector := include "zeroloop.selectorLabels" . | fromYaml -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.commonLabels) $own $selector) -}}
{{- end -}}

{{/* Labels of an object. Takes root, component. */}}
{{- define "zeroloop.labels" -}}
{{ include "zeroloop.podLabels" . }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Annotations of a component's pods: those of all, then its own. Takes root, values. */}}
{{- define "zeroloop.podAnnotations" -}}
{{- $merged := mergeOverwrite (deepCopy .root.Values.podAnnotations) .values.podAnnotations -}}
{{- if $merged }}{{ toYaml $merged }}{{ end -}}
{{- end -}}

{{/* An image's reference; its digest wins over its tag. Takes root, image. */}}
{{- define "zeroloop.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- $name := ternary .image.repository (printf "%s/%s" $registry .image.repository) (empty $registry) -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Name of a component's ServiceAccount. Takes root, component, values. */}}
{{- define "zeroloop.serviceAccountName" -}}
{{- $own := printf "%s-%s" (include "zeroloop.fullname" .root) .component -}}
{{- if .values.serviceAccount.create -}}
{{- .values.serviceAccount.name | default $own -}}
{{- else -}}
{{- .values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "zeroloop.tokenSecret" -}}
{{- .Values.auth.existingSecret | default (printf "%s-token" (include "zeroloop.fullname" .)) -}}
{{- end -}}

{{- define "zeroloop.databaseSecret" -}}
{{- .Values.database.existingSecret | default (printf "%s-database" (include "zeroloop.fullname" .)) -}}
{{- end -}}

{{- define "zeroloop.databaseSecretKey" -}}
{{- if .Values.database.existingSecret }}{{ .Values.database.existingSecretKey }}{{ else }}url{{ end -}}
{{- end -}}

{{- define "zeroloop.runsClaim" -}}
{{- .Values.runsVolume.existingClaim | default (printf "%s-runs" (include "zeroloop.fullname" .)) -}}
{{- end -}}

{{/* gRPC address of a service of this release, or of another that values name. Takes root, service. */}}
{{- define "zeroloop.target" -}}
{{- $named := get .root.Values.targets .service | default "" -}}
{{- $own := printf "dns:///%s-%s.%s.svc:50051" (include "zeroloop.fullname" .root) .service .root.Release.Namespace -}}
{{- $named | default $own -}}
{{- end -}}

{{/* The PriorityClass of a component: its own, else the one that the chart makes. Takes root, class, values. */}}
{{- define "zeroloop.priorityClassName" -}}
{{- if .values.priorityClassName -}}
{{- .values.priorityClassName -}}
{{- else if .root.Values.priorityClasses.create -}}
{{- include "zeroloop.priorityClass" . -}}
{{- end -}}
{{- end -}}

{{/* PriorityClasses are the cluster's, so their names carry the namespace. Takes root, class. */}}
{{- define "zeroloop.priorityClass" -}}
{{- printf "%s-%s-%s" .root.Release.Namespace (include "zeroloop.fullname" .root) .class | trunc 63 | trimSuffix "-" -}}
{{- end -}}
