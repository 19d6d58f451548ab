{{- define "zeroloop.controllerEnv" -}}
- name: ZEROLOOP_CONTROLLER__PLATFORM
  value: kubernetes
- name: ZEROLOOP_CONTROLLER__NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: ZEROLOOP_CONTROLLER__POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: ZEROLOOP_CONTROLLER__RUNS_FOLDER
  value: /var/lib/zeroloop/runs
- name: ZEROLOOP_CONTROLLER__LABELS
  value: {{ include "zeroloop.runLabels" . | fromYaml | toJson | quote }}
- name: ZEROLOOP_CONTROLLER__RESUME
  value: "true"
- name: ZEROLOOP_CONTROLLER__POD_TEMPLATES
  value: /etc/zeroloop/templates/pods.yaml
- name: ZEROLOOP_CONTROLLER__INFERENCE_BACKEND
  value: {{ .Values.inference.backend }}
- name: ZEROLOOP_CONTROLLER__TRAINING_BACKEND
  value: {{ .Values.training.backend }}
{{- with .Values.weights.promoteTo }}
- name: ZEROLOOP_CONTROLLER__PROMOTE_TO
  value: {{ toJson . | quote }}
- name: ZEROLOOP_CONTROLLER__RUNS_CLAIM
  value: {{ include "zeroloop.runsClaim" $ }}
{{- end }}
{{- range $service := list "buffer" "reward" "execution" }}
- name: ZEROLOOP_CONTROLLER__{{ upper $service }}_TARGET
  value: {{ include "zeroloop.target" (dict "root" $ "service" $service) }}
{{- end }}
{{- end -}}

{{/* What the controller puts on all that it makes for a run, beside the component's name. */}}
{{- define "zeroloop.runLabels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "zeroloop.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/managed-by" "zeroloop-controller"
  "app.kubernetes.io/part-of" "zeroloop"
-}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end -}}
