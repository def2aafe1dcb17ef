{{/* Render the hook's own service account: made before the Job by its weight, and no object of the application. */}}
{{- define "migration-gate.serviceaccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .serviceAccount.name }}
  namespace: {{ .namespace }}
  labels:
    {{- toYaml .labels | nindent 4 }}
  annotations:
    {{- $hook := include "migration-gate.hookAnnotations" . | fromYaml }}
    {{- mergeOverwrite .serviceAccount.annotations $hook (dict "helm.sh/hook-weight" "-1") | toYaml | nindent 4 }}
automountServiceAccountToken: false
{{- end }}
