{{/* Print which parts of a connection are given, separated by commas; nothing when there is none. */}}
{{- define "migration-gate.database.parts" -}}
{{- $parts := list }}
{{- range $part := list "host" "name" "user" "sslmode" "passwordless" }}
{{- if index $ $part }}{{ $parts = append $parts $part }}{{ end }}
{{- end }}
{{- if (.passwordSecret | default dict).name }}{{ $parts = append $parts "passwordSecret" }}{{ end }}
{{- join ", " $parts }}
{{- end }}

{{/* Print the volume with the certificates, and where it is mounted; an empty list without them. */}}
{{- define "migration-gate.database.volumes" -}}
{{- with (.tls | default dict).secret -}}
- name: database-tls
  secret:
    secretName: {{ . }}
    # A key that others may read is refused by libpq; the group is the pod's fsGroup.
    defaultMode: 0440
{{- else -}}
[]
{{- end }}
{{- end }}
{{- define "migration-gate.database.mounts" -}}
{{- if (.tls | default dict).secret -}}
- name: database-tls
  mountPath: /etc/database-tls
  readOnly: true
{{- else -}}
[]
{{- end }}
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
{{- with (.passwordSecret | default dict).name }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.passwordSecret.key | default "password" }}
{{- end }}
{{- end }}
{{- $tls := .tls | default dict }}
{{- with .sslmode | default (ternary "verify-full" "" (not (empty $tls.secret))) }}
- name: PGSSLMODE
  value: {{ . }}
{{- end }}
{{- if $tls.secret }}
- name: PGSSLROOTCERT
  value: /etc/database-tls/{{ $tls.caKey | default "ca.crt" }}
{{- with $tls.certKey }}
- name: PGSSLCERT
  value: /etc/database-tls/{{ . }}
{{- end }}
{{- with $tls.keyKey }}
- name: PGSSLKEY
  value: /etc/database-tls/{{ . }}
{{- end }}
{{- end }}
{{- end }}
