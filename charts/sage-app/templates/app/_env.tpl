{{- define "sage-app.env" -}}
{{ include "migration-gate.database.env" .Values.database }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
