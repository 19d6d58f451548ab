{{/* What inference and trainer pods share beyond _pods.tpl. Takes root, component, values. */}}

{{/* With GPUs, which Kubernetes wants as a limit. */}}
{{- define "zeroloop.acceleratedResources" -}}
{{- $resources := deepCopy .values.resources -}}
{{- if gt (int .values.gpu.count) 0 -}}
{{- $limits := merge (dict .values.gpu.resourceName (int .values.gpu.count)) ($resources.limits | default dict) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* Caches go where there is room; whoever fetches gated models shows a token. */}}
{{- define "zeroloop.engineEnv" -}}
- name: XDG_CACHE_HOME
  value: /var/cache/zeroloop
- name: HF_HOME
  value: /var/cache/zeroloop/huggingface
{{- with .root.Values.models.hubTokenSecret.name }}
- name: HF_TOKEN
  valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $.root.Values.models.hubTokenSecret.key }}}}
{{- end }}
{{- end -}}

{{- define "zeroloop.engineVolumes" -}}
- name: cache
  {{- toYaml (.root.Values.models.cacheVolume | default (dict "emptyDir" dict)) | nindent 2 }}
- name: shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ .values.shmSize }}
{{- end -}}

{{- define "zeroloop.engineVolumeMounts" -}}
- name: cache
  mountPath: /var/cache/zeroloop
- name: shm
  mountPath: /dev/shm
{{- end -}}
