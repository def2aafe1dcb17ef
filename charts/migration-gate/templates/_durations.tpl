{{/* Print a duration such as 100ms, 1s, 5min or 1h in milliseconds. */}}
{{- define "migration-gate.milliseconds" -}}
{{- $unit := dict "ms" 1 "s" 1000 "min" 60000 "h" 3600000 }}
{{- mul (regexFind "^[0-9]+" .) (get $unit (regexFind "[a-z]+$" .)) }}
{{- end }}
