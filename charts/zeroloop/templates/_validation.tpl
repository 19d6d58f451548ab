{{/* What a schema cannot say: settings that need each other. Fails with what to set. */}}
{{- define "zeroloop.validate" -}}
{{- $problems := list -}}
{{- $targets := .Values.targets -}}
{{- if and .Values.controller.enabled (not .Values.buffer.enabled) (not $targets.buffer) -}}
{{- $problems = append $problems "the controller needs a buffer: set buffer.enabled=true, or targets.buffer to the address of another one" -}}
{{- end -}}
{{- if and .Values.controller.enabled (not .Values.reward.enabled) (not $targets.reward) -}}
{{- $problems = append $problems "the controller needs a reward service: set reward.enabled=true, or targets.reward to the address of another one" -}}
{{- end -}}
{{- if and (or .Values.controller.enabled .Values.reward.enabled) (not .Values.execution.enabled) (not $targets.execution) -}}
{{- $problems = append $problems "controller and reward need an execution service: set execution.enabled=true, or targets.execution to the address of another one" -}}
{{- end -}}
{{- if and .Values.buffer.enabled (not .Values.postgresql.enabled) (not .Values.database.existingSecret) -}}
{{- $problems = append $problems "the buffer needs a database: set database.existingSecret to a Secret whose key `url` is postgresql://USER:PASSWORD@HOST/NAME, or postgresql.enabled=true for trying out" -}}
{{- end -}}
{{- if and .Values.postgresql.enabled .Values.database.existingSecret -}}
{{- $problems = append $problems "there would be two databases: with database.existingSecret set postgresql.enabled=false" -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "existingSecret") (not .Values.tls.existingSecret) -}}
{{- $problems = append $problems "tls.mode is existingSecret: set tls.existingSecret to a Secret with tls.crt, tls.key and ca.crt, or choose another mode" -}}
{{- end -}}
{{- if and .Values.tls.existingSecret (ne .Values.tls.mode "existingSecret") -}}
{{- $problems = append $problems (printf "tls.existingSecret is set but tls.mode is %s: set tls.mode=existingSecret" .Values.tls.mode) -}}
{{- end -}}
{{- if and .Values.auth.users (ne .Values.auth.mode "kubernetes") -}}
{{- $problems = append $problems "auth.users are for auth.mode=kubernetes; with a shared token whoever has it may do anything" -}}
{{- end -}}
{{- $gpus := int .Values.inference.gpu.count -}}
{{- $parallel := int (.Values.inference.settings.tensor_parallel_size | default 1) -}}
{{- if and (gt $gpus 0) (gt $parallel $gpus) -}}
{{- $problems = append $problems (printf "inference.settings.tensor_parallel_size is %d, but a replica has %d GPUs: raise inference.gpu.count, or leave the setting out to use them all" $parallel $gpus) -}}
{{- end -}}
{{- range $name := list "reward" "execution" -}}
{{- $scaling := (get $.Values $name).autoscaling -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- $problems = append $problems (printf "%s.autoscaling.minReplicas is above its maxReplicas" $name) -}}
{{- end -}}
{{- end -}}
{{- $metrics := .Values.metrics -}}
{{- range $name := list "podMonitor" "dashboards" "alerts" -}}
{{- if and (get $metrics $name).enabled (not $metrics.enabled) -}}
{{- $problems = append $problems (printf "metrics.%s.enabled needs metrics.enabled=true: without it nothing answers at /metrics" $name) -}}
{{- end -}}
{{- end -}}
{{- if and $metrics.enabled (has (int $metrics.port) (list 50051 50052 29500)) -}}
{{- $problems = append $problems (printf "metrics.port must not be %d, which is taken by gRPC, health or torchrun" (int $metrics.port)) -}}
{{- end -}}
{{- $weights := .Values.weights -}}
{{- if and (not $weights.store) (or $weights.credentials.existingSecret $weights.credentials.readerSecret $weights.s3.endpoint $weights.s3.region $weights.peers $weights.scratchVolume) -}}
{{- $problems = append $problems "weights has settings of a bucket, but weights.store names none: set it to s3://BUCKET/PREFIX or gs://BUCKET/PREFIX, or take the others away" -}}
{{- end -}}
{{- if and $weights.store (not (hasPrefix "s3://" $weights.store)) (or $weights.s3.endpoint $weights.s3.region) -}}
{{- $problems = append $problems (printf "weights.s3 is for s3://, weights.store is %s: leave weights.s3 empty" $weights.store) -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}
