{{/* The pod template of a training Job; the controller adds arguments, labels and torchrun's variables. */}}
{{- define "zeroloop.trainerPod" -}}
{{- $ctx := dict "root" . "component" "trainer" "service" "TRAINER" "values" .Values.training "image" .Values.image.engine "class" "training" -}}
{{- $own := list
  (dict "name" "ZEROLOOP_TRAINER__TOKEN_FILE" "value" "/etc/zeroloop/token/token")
  (dict "name" "ZEROLOOP_TRAINER__LOG_LEVEL" "value" .Values.logLevel)
-}}
{{- if .Values.metrics.enabled -}}
{{- $own = concat $own (list
  (dict "name" "ZEROLOOP_TRAINER__METRICS_HOST" "value" "0.0.0.0")
  (dict "name" "ZEROLOOP_TRAINER__METRICS_PORT" "value" (.Values.metrics.port | int | toString))
) -}}
{{- end -}}
{{- $_ := set $ctx "own" (concat $own (include "zeroloop.tlsEnv" $ctx | fromYamlArray) (include "zeroloop.engineEnv" $ctx | fromYamlArray) (include "zeroloop.weightsEnv" $ctx | fromYamlArray)) -}}
metadata:
  labels: {{- include "zeroloop.podLabels" $ctx | nindent 4 }}
  {{- with include "zeroloop.podAnnotations" $ctx }}
  annotations: {{- . | nindent 4 }}
  {{- end }}
spec:
  {{- include "zeroloop.pod" $ctx | nindent 2 }}
  # The Job starts again, not the kubelet: its exit code says whether that can help.
  restartPolicy: Never
  terminationGracePeriodSeconds: {{ int .Values.training.terminationGracePeriodSeconds }}
  containers:
    - name: trainer
      {{- include "zeroloop.containerImage" $ctx | nindent 6 }}
      command: [python, -m, trainer.launch]
      securityContext: {{- include "zeroloop.containerSecurityContext" $ctx | nindent 8 }}
      {{- with include "zeroloop.metricsPort" . }}
      ports: {{- . | nindent 8 }}
      {{- end }}
      env: {{- include "zeroloop.env" $ctx | nindent 8 }}
      resources: {{- include "zeroloop.acceleratedResources" $ctx | nindent 8 }}
      volumeMounts:
        {{- include "zeroloop.dataVolumeMounts" $ctx | nindent 8 }}
        {{- include "zeroloop.engineVolumeMounts" $ctx | nindent 8 }}
        {{- include "zeroloop.volumeMounts" $ctx | nindent 8 }}
  volumes:
    {{- include "zeroloop.dataVolumes" $ctx | nindent 4 }}
    {{- include "zeroloop.engineVolumes" $ctx | nindent 4 }}
    {{- include "zeroloop.volumes" $ctx | nindent 4 }}
{{- end -}}
