{{- define "zeroloop.podTemplates" -}}
inference: {{- include "zeroloop.inferencePod" . | nindent 2 }}
trainer: {{- include "zeroloop.trainerPod" . | nindent 2 }}
{{- end -}}
