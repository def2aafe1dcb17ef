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

{{/* Print the labels of every object; what the chart sets itself cannot be changed. */}}
{{- define "sage-app.labels" -}}
{{- $own := include "sage-app.selectorLabels" . | fromYaml }}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service }}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") }}
{{- mergeOverwrite (dict) .Values.commonLabels $own | toYaml }}
{{- end }}

{{/* Print the metadata of an object of the service: {root, name, annotations}, the last two where they differ. */}}
{{- define "sage-app.metadata" -}}
name: {{ .name | default (include "sage-app.fullname" .root) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "sage-app.labels" .root | nindent 2 }}
{{- with mergeOverwrite (dict) .root.Values.commonAnnotations (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
