{{- define "sage-app.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Print the name of the app's objects; 63 characters are what a Service may have. */}}
{{- define "sage-app.fullname" -}}
{{- $name := include "sage-app.name" . }}
{{- $fullname := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- .Values.fullnameOverride | default $fullname | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sage-app.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "sage-app.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* Print what the Service, the Deployment and the PodDisruptionBudget select by; the hook's pod has none of these. */}}
{{- define "sage-app.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sage-app.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: app
{{- end }}

{{- define "sage-app.labels" -}}
{{ include "sage-app.selectorLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
