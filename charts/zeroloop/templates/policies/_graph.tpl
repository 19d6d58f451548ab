{{/*
Who calls whom: the one place where this is said. `port` is missing where all ports are meant.
An edge counts if both its ends are installed.
*/}}
{{- define "zeroloop.edges" -}}
- {from: test, to: controller, port: 50051}
- {from: controller, to: inference, port: 50051}
- {from: controller, to: reward, port: 50051}
- {from: controller, to: buffer, port: 50051}
- {from: controller, to: execution, port: 50051}
- {from: reward, to: execution, port: 50051}
- {from: trainer, to: buffer, port: 50051}
- {from: trainer, to: trainer}
- {from: buffer, to: postgresql, port: 5432}
- {from: migrations, to: postgresql, port: 5432}
{{- end -}}

{{/* The components of this release, each with its block of values, as a mapping. */}}
{{- define "zeroloop.components" -}}
{{- $components := dict -}}
{{- range $name := list "controller" "buffer" "reward" "execution" "postgresql" -}}
{{- $values := get $.Values $name -}}
{{- if $values.enabled }}{{ $_ := set $components $name $values }}{{ end -}}
{{- end -}}
{{- if .Values.controller.enabled -}}
{{- $_ := set $components "inference" .Values.inference -}}
{{- $_ := set $components "trainer" .Values.training -}}
{{- if .Values.test.enabled }}{{ $_ := set $components "test" .Values.test }}{{ end -}}
{{- end -}}
{{- if and .Values.buffer.enabled .Values.migrations.enabled -}}
{{- $_ := set $components "migrations" .Values.migrations -}}
{{- end -}}
{{- toYaml $components -}}
{{- end -}}

{{/* Rules for the edges that enter a component. Takes root, component, components. */}}
{{- define "zeroloop.ingressRules" -}}
{{- $rules := list -}}
{{- range include "zeroloop.edges" .root | fromYamlArray -}}
{{- if and (eq .to $.component) (hasKey $.components .from) -}}
{{- $rules = append $rules (include "zeroloop.rule" (dict "root" $.root "peer" .from "direction" "from" "edge" .) | fromYaml) -}}
{{- end -}}
{{- end -}}
{{- if has .component (list "controller" "buffer" "reward" "execution" "inference") -}}
{{- $health := dict "ports" (list (dict "protocol" "TCP" "port" 50052)) -}}
{{- with .root.Values.networkPolicy.nodes }}{{ $_ := set $health "from" . }}{{ end -}}
{{- $rules = append $rules $health -}}
{{- end -}}
{{- if eq .component "controller" -}}
{{- $clients := dict "ports" (list (dict "protocol" "TCP" "port" 50051)) -}}
{{- with .root.Values.networkPolicy.clients }}{{ $_ := set $clients "from" . }}{{ end -}}
{{- $rules = append $rules $clients -}}
{{- end -}}
{{- if has .component (include "zeroloop.metered" .root | fromYamlArray) -}}
{{- $rules = concat $rules (include "zeroloop.metricsRules" .root | fromYamlArray) -}}
{{- end -}}
{{- toYaml (concat $rules ((get .components .component).extraIngress | default list)) -}}
{{- end -}}

{{/* Rules for the edges that leave a component, and for what it calls outside of the release. */}}
{{- define "zeroloop.egressRules" -}}
{{- $rules := list -}}
{{- range include "zeroloop.edges" .root | fromYamlArray -}}
{{- if and (eq .from $.component) (hasKey $.components .to) -}}
{{- $rules = append $rules (include "zeroloop.rule" (dict "root" $.root "peer" .to "direction" "to" "edge" .) | fromYaml) -}}
{{- end -}}
{{- end -}}
{{- $rules = concat $rules (include "zeroloop.outsideRules" . | fromYamlArray) -}}
{{- toYaml (concat $rules ((get .components .component).extraEgress | default list)) -}}
{{- end -}}

{{- define "zeroloop.rule" -}}
{{ .direction }}:
  - podSelector:
      matchLabels: {{- include "zeroloop.selectorLabels" (dict "root" .root "component" .peer) | nindent 8 }}
{{- with .edge.port }}
ports:
  - {protocol: TCP, port: {{ . }}}
{{- end }}
{{- end -}}

{{/* Names, telemetry, the API server, another's database, the model hub, a bucket. Execution calls nobody. */}}
{{- define "zeroloop.outsideRules" -}}
{{- $policy := .root.Values.networkPolicy -}}
{{- $rules := list -}}
{{- if not (has .component (list "execution" "postgresql")) -}}
{{- $dns := dict "ports" (list (dict "protocol" "UDP" "port" 53) (dict "protocol" "TCP" "port" 53)) -}}
{{- with $policy.dns }}{{ $_ := set $dns "to" . }}{{ end -}}
{{- $rules = append $rules $dns -}}
{{- with .root.Values.tracing.otlpEndpoint -}}
{{- $port := regexFind ":[0-9]+$" (regexReplaceAll "^[a-z]+://" . "" | trimSuffix "/") | trimPrefix ":" | default "4317" -}}
{{- $otlp := dict "ports" (list (dict "protocol" "TCP" "port" (int $port))) -}}
{{- with $.root.Values.tracing.peers }}{{ $_ := set $otlp "to" . }}{{ end -}}
{{- $rules = append $rules $otlp -}}
{{- end -}}
{{- end -}}
{{- if has .component (include "zeroloop.apiCallers" .root | fromYamlArray) -}}
{{- $api := dict "ports" (list (dict "protocol" "TCP" "port" 443) (dict "protocol" "TCP" "port" 6443)) -}}
{{- with $policy.apiServer }}{{ $_ := set $api "to" . }}{{ end -}}
{{- $rules = append $rules $api -}}
{{- end -}}
{{- if and (has .component (list "buffer" "migrations")) (not .root.Values.postgresql.enabled) -}}
{{- $database := dict "ports" (list (dict "protocol" "TCP" "port" (int .root.Values.database.port))) -}}
{{- with .root.Values.database.peers }}{{ $_ := set $database "to" . }}{{ end -}}
{{- $rules = append $rules $database -}}
{{- end -}}
{{- if and (has .component (list "inference" "trainer")) $policy.modelHub.enabled -}}
{{- $hub := dict "ports" (list (dict "protocol" "TCP" "port" 443)) -}}
{{- with $policy.modelHub.peers }}{{ $_ := set $hub "to" . }}{{ end -}}
{{- $rules = append $rules $hub -}}
{{- end -}}
{{- $rules = concat $rules (include "zeroloop.weightsRules" . | fromYamlArray) -}}
{{- toYaml $rules -}}
{{- end -}}
