{{/*
Objects that several components have, whole. Everything here takes root, component, values, as in
_pods.tpl.
*/}}

{{- define "zeroloop.metadata" -}}
name: {{ include "zeroloop.fullname" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "zeroloop.labels" . | nindent 2 }}
{{- end -}}

{{- define "zeroloop.serviceAccount" -}}
{{- if .values.serviceAccount.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "zeroloop.serviceAccountName" . }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "zeroloop.labels" . | nindent 4 }}
  {{- with .values.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end -}}
{{- end -}}

{{/* Headless, so that clients see every pod and share their calls out among them. */}}
{{- define "zeroloop.service" -}}
apiVersion: v1
kind: Service
metadata: {{- include "zeroloop.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  selector: {{- include "zeroloop.selectorLabels" . | nindent 4 }}
  ports:
    - name: grpc
      port: 50051
      targetPort: 50051
      appProtocol: {{ ternary "kubernetes.io/h2c" "https" (eq .root.Values.tls.mode "insecure") }}
{{- end -}}

{{/* One pod may always go, so that a node can be drained. */}}
{{- define "zeroloop.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- include "zeroloop.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  # A pod that is broken must not keep a node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "zeroloop.selectorLabels" . | nindent 6 }}
{{- end -}}

{{- define "zeroloop.autoscaler" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{- include "zeroloop.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "zeroloop.fullname" .root }}-{{ .component }}
  minReplicas: {{ int .values.autoscaling.minReplicas }}
  maxReplicas: {{ int .values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ int .values.autoscaling.targetCPUUtilizationPercentage }}
  behavior:
    scaleDown:
      # A round has quiet stages; pods are wanted again a minute later.
      stabilizationWindowSeconds: 300
{{- end -}}

{{/* The head of a Deployment, up to its pods' metadata. Also takes annotations of the pods. */}}
{{- define "zeroloop.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata: {{- include "zeroloop.metadata" . | nindent 2 }}
spec:
  {{- if not (dig "autoscaling" "enabled" false .values) }}
  replicas: {{ int .values.replicas }}
  {{- end }}
  revisionHistoryLimit: {{ int .root.Values.revisionHistoryLimit }}
  selector:
    matchLabels: {{- include "zeroloop.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "zeroloop.podLabels" . | nindent 8 }}
      {{- $annotations := include "zeroloop.podAnnotations" . | fromYaml }}
      {{- with mergeOverwrite $annotations (.annotations | default dict) }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}
