{{/* Print the program that asks the service, through its Service, whether it is ready; it fails on any other answer. */}}
{{- define "sage-app.testRequest" -}}
from urllib.request import urlopen; print(urlopen("http://{{ include "sage-app.fullname" . }}:{{ .Values.service.port }}/readyz", timeout=10).read().decode())
{{- end }}

{{/* Print what both containers of the test have in common. */}}
{{- define "sage-app.testContainer" -}}
image: {{ include "sage-app.image" . | fromYaml | include "migration-gate.image" | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  {{- include "sage-app.env" . | nindent 2 }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
{{- with concat (include "migration-gate.database.mounts" .Values.database | fromYamlArray) .Values.extraVolumeMounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
