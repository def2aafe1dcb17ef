{{/* Print what the hook inherits from this chart; migration-gate lays it under the values of `migration`. */}}
{{- define "sage-app.forGate" -}}
fullname: {{ include "sage-app.fullname" . }}
image:
  {{- include "sage-app.image" . | nindent 2 }}
imagePullSecrets:
  {{- toYaml .Values.imagePullSecrets | nindent 2 }}
database:
  {{- toYaml .Values.database | nindent 2 }}
commonLabels:
  {{- toYaml .Values.commonLabels | nindent 2 }}
commonAnnotations:
  {{- toYaml .Values.commonAnnotations | nindent 2 }}
serviceAccount:
  create: {{ .Values.serviceAccount.create }}
  name: {{ include "sage-app.serviceAccountName" . }}
{{- end }}
