{{/* Print the fields of a pod that decide where it runs. */}}
{{- define "migration-gate.scheduling" -}}
{{- $fields := dict }}
{{- range $field := list "affinity" "nodeSelector" "priorityClassName" "tolerations" "topologySpreadConstraints" }}
{{- with index $ $field }}{{ $_ := set $fields $field . }}{{ end }}
{{- end }}
{{- if $fields }}{{ toYaml $fields }}{{ end }}
{{- end }}
