{{/* The pod template of an inference replica; the controller adds arguments, labels and names. */}}
{{- define "zeroloop.inferencePod" -}}
{{- $ctx := dict "root" . "component" "inference" "service" "INFERENCE" "values" .Values.inference "image" .Values.image.engine "class" "inference" -}}
{{- $gpus := int .Values.inference.gpu.count -}}
{{- $parallel := ternary (list (dict "name" "ZEROLOOP_INFERENCE__TENSOR_PARALLEL_SIZE" "value" ($gpus | toString))) list (gt $gpus 1) -}}
{{- $_ := set $ctx "own" (concat $parallel (include "zeroloop.serverEnv" $ctx | fromYamlArray) (include "zeroloop.engineEnv" $ctx | fromYamlArray) (include "zeroloop.weightsEnv" $ctx | fromYamlArray)) -}}
metadata:
  labels: {{- include "zeroloop.podLabels" $ctx | nindent 4 }}
  {{- with include "zeroloop.podAnnotations" $ctx }}
  annotations: {{- . | nindent 4 }}
  {{- end }}
spec:
  {{- include "zeroloop.pod" $ctx | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "zeroloop.graceSeconds" $ctx }}
  containers:
    - name: inference
      {{- include "zeroloop.containerImage" $ctx | nindent 6 }}
      command: [python, -m, services.inference]
      securityContext: {{- include "zeroloop.containerSecurityContext" $ctx | nindent 8 }}
      ports:
        - {name: grpc, containerPort: 50051}
        - {name: health, containerPort: 50052}
        {{- with include "zeroloop.metricsPort" . }}{{ . | nindent 8 }}{{ end }}
      env: {{- include "zeroloop.env" $ctx | nindent 8 }}
      resources: {{- include "zeroloop.acceleratedResources" $ctx | nindent 8 }}
      {{- include "zeroloop.probes" $ctx | nindent 6 }}
      volumeMounts:
        {{- include "zeroloop.dataVolumeMounts" $ctx | nindent 8 }}
        {{- include "zeroloop.engineVolumeMounts" $ctx | nindent 8 }}
        {{- include "zeroloop.volumeMounts" $ctx | nindent 8 }}
  volumes:
    {{- include "zeroloop.dataVolumes" $ctx | nindent 4 }}
    {{- include "zeroloop.engineVolumes" $ctx | nindent 4 }}
    {{- include "zeroloop.volumes" $ctx | nindent 4 }}
{{- end -}}
