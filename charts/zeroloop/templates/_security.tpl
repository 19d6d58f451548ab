{{/*
Who proves what to whom: certificates and tokens. Everything here takes root and component, as in
_pods.tpl, unless it says otherwise.
*/}}

{{/*
Components that ask the API server who calls them. Takes the root context. Execution may call
nobody, so it goes on knowing one token.
*/}}
{{- define "zeroloop.reviewers" -}}
{{- if eq .Values.auth.mode "kubernetes" }}[controller, buffer, reward, inference]{{ else }}[]{{ end -}}
{{- end -}}

{{/* Components with a token for the API server. Takes the root context. */}}
{{- define "zeroloop.apiCallers" -}}
{{- toYaml (concat (list "controller") (include "zeroloop.reviewers" . | fromYamlArray) | uniq) -}}
{{- end -}}

{{- define "zeroloop.tokenKey" -}}
{{- ternary .Values.auth.existingSecretKey "token" (not (empty .Values.auth.existingSecret)) -}}
{{- end -}}

{{- define "zeroloop.tlsSecret" -}}
{{- .Values.tls.existingSecret | default (printf "%s-tls" (include "zeroloop.fullname" .)) -}}
{{- end -}}

{{/* The names of the certificate: those of all Services. Takes the root context. */}}
{{- define "zeroloop.tlsNames" -}}
- "*.{{ .Release.Namespace }}.svc"
- "*.{{ .Release.Namespace }}.svc.cluster.local"
# Through `kubectl port-forward`.
- localhost
{{- end -}}

{{/* Settings for certificates, as a list of variables. Also takes service. */}}
{{- define "zeroloop.tlsEnv" -}}
{{- if eq .root.Values.tls.mode "insecure" -}}
[]
{{- else -}}
{{- $prefix := printf "ZEROLOOP_%s__TLS_" .service -}}
{{- range $name, $file := dict "CERT_FILE" "tls.crt" "KEY_FILE" "tls.key" "CA_FILE" "ca.crt" -}}
- name: {{ $prefix }}{{ $name }}
  value: /etc/zeroloop/tls/{{ $file }}
{{ end -}}
{{- /* Users call the controller, with a token and without a certificate. */}}
{{- if and .root.Values.tls.mutual (not (has .component (list "controller" "trainer"))) }}
- name: {{ $prefix }}REQUIRE_CLIENT
  value: "true"
{{- end }}
{{- end -}}
{{- end -}}

{{/* Settings for tokens of a server, as a list of variables. Also takes service. */}}
{{- define "zeroloop.authEnv" -}}
{{- $prefix := printf "ZEROLOOP_%s__" .service -}}
{{- $reviews := has .component (include "zeroloop.reviewers" .root | fromYamlArray) -}}
- name: {{ $prefix }}TOKEN_FILE
  value: /etc/zeroloop/token/token
{{- if $reviews }}
- name: {{ $prefix }}AUTH
  value: kubernetes
{{- if has .component (list "controller" "reward") }}
- name: {{ $prefix }}EXECUTION_TOKEN_FILE
  value: /etc/zeroloop/execution-token/token
{{- end }}
{{- end }}
{{- end -}}

{{/* What a component shows others, and what it checks them with, as volumes. */}}
{{- define "zeroloop.securityVolumes" -}}
{{- $kubernetes := eq .root.Values.auth.mode "kubernetes" -}}
{{- $callers := list "controller" "buffer" "reward" "inference" "trainer" "test" -}}
{{- /* Its owner is root, which execution runs as; others read it through the group, fsGroup. */}}
{{- $mode := ternary "0400" "0440" (eq .component "execution") -}}
{{- $shared := dict "secretName" (include "zeroloop.tokenSecret" .root) "key" (include "zeroloop.tokenKey" .root) "mode" $mode -}}
{{- if and $kubernetes (has .component $callers) -}}
- name: token
  projected:
    defaultMode: {{ $mode }}
    sources:
      - serviceAccountToken: {audience: zeroloop, expirationSeconds: 3600, path: token}
{{- if has .component (list "controller" "reward") }}
- name: execution-token
  {{- include "zeroloop.sharedToken" $shared | nindent 2 }}
{{- end }}
{{- else if or (eq .component "execution") (has .component $callers) -}}
- name: token
  {{- include "zeroloop.sharedToken" $shared | nindent 2 }}
{{- end }}
{{- if and (ne .root.Values.tls.mode "insecure") (or (eq .component "execution") (has .component $callers)) }}
- name: tls
  secret:
    secretName: {{ include "zeroloop.tlsSecret" .root }}
    defaultMode: {{ $mode }}
    {{- if eq .component "test" }}
    items: [{key: ca.crt, path: ca.crt}]
    {{- end }}
{{- end }}
{{- end -}}

{{- define "zeroloop.sharedToken" -}}
secret:
  secretName: {{ .secretName }}
  defaultMode: {{ .mode }}
  items:
    - {key: {{ .key }}, path: token}
{{- end -}}

{{/* The mounts of those volumes. */}}
{{- define "zeroloop.securityMounts" -}}
{{- range include "zeroloop.securityVolumes" . | fromYamlArray }}
- name: {{ .name }}
  mountPath: /etc/zeroloop/{{ .name }}
  readOnly: true
{{- end }}
{{- end -}}
