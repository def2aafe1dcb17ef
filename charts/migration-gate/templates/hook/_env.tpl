{{/* Print the environment of the runner: database, image, limits, then what the user adds. */}}
{{- define "migration-gate.env" -}}
{{ include "migration-gate.database.env" .database }}
- name: SAGE_MIGRATE_IMAGE
  value: {{ include "migration-gate.image" .image | quote }}
- name: SAGE_MIGRATE_LOG_FORMAT
  value: json
- name: SAGE_MIGRATE_DEADLINE
  value: {{ printf "%ds" (int64 .deadline) }}
- name: SAGE_MIGRATE_WAIT_TIMEOUT
  value: {{ .waitTimeout }}
- name: SAGE_MIGRATE_LOCK_TIMEOUT
  value: {{ .lockTimeout }}
- name: SAGE_MIGRATE_STALL_BUDGET
  value: {{ .stallBudget }}
- name: SAGE_MIGRATE_STATEMENT_TIMEOUT
  value: {{ .statementTimeout }}
- name: SAGE_MIGRATE_IF_AHEAD
  value: {{ .ifAhead }}
- name: SAGE_MIGRATE_PHASE
  value: {{ .phase }}
{{- if .requireReview }}
- name: SAGE_MIGRATE_REQUIRE_REVIEW
  value: {{ .requireReview | quote }}
{{- end }}
{{- if .allowUnreviewed }}
- name: SAGE_MIGRATE_ALLOW_UNREVIEWED
  value: {{ join "," .allowUnreviewed | quote }}
{{- end }}
{{- with .reason }}
- name: SAGE_MIGRATE_REASON
  value: {{ . | quote }}
{{- end }}
{{- with .extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
