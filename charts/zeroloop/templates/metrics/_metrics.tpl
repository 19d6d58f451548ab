{{/* What is scraped, and how it is reached. Everything here takes the root context. */}}

{{/* The components that answer at /metrics, of those that are installed, as a list. */}}
{{- define "zeroloop.metered" -}}
{{- $installed := include "zeroloop.components" . | fromYaml -}}
{{- $metered := list -}}
{{- range list "controller" "buffer" "reward" "execution" "inference" "trainer" -}}
{{- if hasKey $installed . }}{{ $metered = append $metered . }}{{ end -}}
{{- end -}}
{{- toYaml (ternary $metered list .Values.metrics.enabled) -}}
{{- end -}}

{{/* An entry of a container's ports; nothing without metrics. */}}
{{- define "zeroloop.metricsPort" -}}
{{- if .Values.metrics.enabled -}}
- {name: metrics, containerPort: {{ int .Values.metrics.port }}}
{{- end -}}
{{- end -}}

{{/* Who may scrape: rules of a NetworkPolicy, as a list. */}}
{{- define "zeroloop.metricsRules" -}}
{{- $rule := dict "ports" (list (dict "protocol" "TCP" "port" (int .Values.metrics.port))) -}}
{{- with .Values.metrics.peers }}{{ $_ := set $rule "from" . }}{{ end -}}
{{- toYaml (list $rule) -}}
{{- end -}}

{{/* Labels of an object for others to find it by. Takes root, component, labels. */}}
{{- define "zeroloop.foundBy" -}}
{{- toYaml (mergeOverwrite (include "zeroloop.labels" . | fromYaml) .labels) -}}
{{- end -}}
