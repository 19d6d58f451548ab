{{/* Where the database is and what the buffer may do to it. Takes migrate, root. */}}
{{- define "zeroloop.databaseEnv" -}}
- name: ZEROLOOP_BUFFER__DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "zeroloop.databaseSecret" .root }}
      key: {{ include "zeroloop.databaseSecretKey" .root }}
- name: ZEROLOOP_BUFFER__MIGRATE
  value: {{ .migrate | quote }}
{{- end -}}
