{{/* Print which parts of a connection are given, separated by commas; nothing when there is none. */}}
{{- define "migration-gate.database.parts" -}}
{{- $parts := list }}
{{- range $part := list "host" "name" "user" "sslmode" "passwordless" }}
{{- if index $ $part }}{{ $parts = append $parts $part }}{{ end }}
{{- end }}
{{- if (.passwordSecret | default dict).name }}{{ $parts = append $parts "passwordSecret" }}{{ end }}
{{- join ", " $parts }}
{{- end }}

{{/* Print the environment variables by which libpq, asyncpg and the runner find a database. */}}
{{- define "migration-gate.database.env" -}}
{{- if .existingSecret -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .existingSecretKey | default "DATABASE_URL" }}
{{- else -}}
- name: PGHOST
  value: {{ .host | quote }}
- name: PGPORT
  value: {{ .port | default 5432 | int64 | quote }}
- name: PGDATABASE
  value: {{ .name | quote }}
- name: PGUSER
  value: {{ .user | quote }}
{{- with .sslmode }}
- name: PGSSLMODE
  value: {{ . }}
{{- end }}
{{- with (.passwordSecret | default dict).name }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.passwordSecret.key | default "password" }}
{{- end }}
{{- end }}
{{- end }}
