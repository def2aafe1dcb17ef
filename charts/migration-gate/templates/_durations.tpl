{{/* Print a duration such as 100ms, 1s, 5min or 1h in milliseconds. */}}
{{- define "migration-gate.milliseconds" -}}
{{- $unit := dict "ms" 1 "s" 1000 "min" 60000 "h" 3600000 }}
{{- mul (regexFind "^[0-9]+" .) (get $unit (regexFind "[a-z]+$" .)) }}
{{- end }}

{{/*
Print the seconds after which the Job is stopped: 15 after the pod's own deadline. A fleet of more shards than run at a time
takes as many rounds as that makes, and each again as often as the retries of an index allow.
*/}}
{{- define "migration-gate.jobDeadline" -}}
{{- $rounds := 1 }}
{{- if .fleet.enabled }}
{{- $rounds = mul (divf .fleet.shards .fleet.parallelism | ceil | int64) (add 1 (int64 .fleet.backoffLimitPerIndex)) }}
{{- end }}
{{- mul $rounds (add (int64 .deadline) 45) }}
{{- end }}
