{{/*
Weights in a bucket: who is told of it, who shows which credentials, what is mounted. Everything
here takes root and component, and makes nothing where versions go to the runs volume.
*/}}

{{/* Whether this component deals with the bucket; true or empty. */}}
{{- define "zeroloop.usesBucket" -}}
{{- if and .root.Values.weights.store (has .component (list "controller" "inference" "trainer")) }}true{{ end -}}
{{- end -}}

{{/* Engines read, and have credentials of their own if there are any. */}}
{{- define "zeroloop.weightsSecret" -}}
{{- $credentials := .root.Values.weights.credentials -}}
{{- if eq .component "inference" }}{{ $credentials.readerSecret | default $credentials.existingSecret }}{{ else }}{{ $credentials.existingSecret }}{{ end -}}
{{- end -}}

{{- define "zeroloop.weightsEnv" -}}
{{- $weights := .root.Values.weights -}}
{{- if include "zeroloop.usesBucket" . -}}
{{- $settings := dict
  "controller" (dict "name" "ZEROLOOP_CONTROLLER__WEIGHTS_STORE" "value" $weights.store)
  "inference" (dict "name" "ZEROLOOP_INFERENCE__WEIGHTS_CACHE" "value" "/var/cache/weights")
  "trainer" (dict "name" "ZEROLOOP_TRAINER__WEIGHTS_SCRATCH" "value" "/var/cache/weights")
-}}
{{- $own := list (get $settings .component) -}}
{{- with $weights.s3.endpoint }}{{ $own = append $own (dict "name" "AWS_ENDPOINT_URL_S3" "value" .) }}{{ end -}}
{{- with $weights.s3.region }}{{ $own = append $own (dict "name" "AWS_REGION" "value" .) }}{{ end -}}
{{- $secret := include "zeroloop.weightsSecret" . -}}
{{- if $secret -}}
{{- if hasPrefix "gs://" $weights.store -}}
{{- $own = append $own (dict "name" "GOOGLE_APPLICATION_CREDENTIALS" "value" "/etc/zeroloop/weights/credentials.json") -}}
{{- else -}}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" -}}
{{- $own = append $own (dict "name" $key "valueFrom" (dict "secretKeyRef" (dict "name" $secret "key" $key))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $own -}}
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{/* Room for versions on their way, and a key file. */}}
{{- define "zeroloop.weightsVolumes" -}}
{{- if include "zeroloop.usesBucket" . -}}
{{- if ne .component "controller" }}
- name: weights
  {{- toYaml (.root.Values.weights.scratchVolume | default (dict "emptyDir" dict)) | nindent 2 }}
{{- end }}
{{- $secret := include "zeroloop.weightsSecret" . }}
{{- if and $secret (hasPrefix "gs://" .root.Values.weights.store) }}
- name: weights-credentials
  secret:
    secretName: {{ $secret }}
    defaultMode: 0440
    items: [{key: credentials.json, path: credentials.json}]
{{- end }}
{{- end -}}
{{- end -}}

{{- define "zeroloop.weightsVolumeMounts" -}}
{{- range include "zeroloop.weightsVolumes" . | fromYamlArray }}
- name: {{ .name }}
  {{- if eq .name "weights" }}
  mountPath: /var/cache/weights
  {{- else }}
  mountPath: /etc/zeroloop/weights
  readOnly: true
  {{- end }}
{{- end }}
{{- end -}}

{{/*
Rules for the bucket, as a list. Without a Secret pods ask the cluster who they are: Google's
metadata servers, or the agent of EKS Pod Identities.
*/}}
{{- define "zeroloop.weightsRules" -}}
{{- $weights := .root.Values.weights -}}
{{- if include "zeroloop.usesBucket" . -}}
{{- $plain := ternary 80 443 (hasPrefix "http://" $weights.s3.endpoint) -}}
{{- $port := regexFind ":[0-9]+$" (regexReplaceAll "^[a-z]+://" $weights.s3.endpoint "" | trimSuffix "/") | trimPrefix ":" | default $plain -}}
{{- $store := dict "ports" (list (dict "protocol" "TCP" "port" (int $port))) -}}
{{- with $weights.peers }}{{ $_ := set $store "to" . }}{{ end -}}
{{- $rules := list $store -}}
{{- if not (include "zeroloop.weightsSecret" .) -}}
{{- if hasPrefix "gs://" $weights.store -}}
{{- $servers := list (dict "ipBlock" (dict "cidr" "169.254.169.252/32")) (dict "ipBlock" (dict "cidr" "169.254.169.254/32")) -}}
{{- $rules = append $rules (dict "to" $servers "ports" (list (dict "protocol" "TCP" "port" 80) (dict "protocol" "TCP" "port" 988))) -}}
{{- else if hasPrefix "s3://" $weights.store -}}
{{- $agent := list (dict "ipBlock" (dict "cidr" "169.254.170.23/32")) -}}
{{- $rules = append $rules (dict "to" $agent "ports" (list (dict "protocol" "TCP" "port" 80))) -}}
{{- end -}}
{{- end -}}
{{- toYaml $rules -}}
{{- else -}}
[]
{{- end -}}
{{- end -}}
