{{/* Print the labels of the hook's objects. No Service and no PodDisruptionBudget of an application selects these. */}}
{{- define "migration-gate.labels" -}}
app.kubernetes.io/name: migration-gate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: migration
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "migration-gate-%s" .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Print how the user spells the way to this chart's values: nothing, or the name or alias of the dependency. */}}
{{- define "migration-gate.valuesPath" -}}
{{- if not .Chart.IsRoot }}{{ .Chart.Name }}.{{ end }}
{{- end }}
