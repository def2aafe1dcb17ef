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
{{- if .fleet.enabled }}
{{- include "migration-gate.env.fleet" . }}
{{- end }}
{{- with .extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Print what a fleet is told; the Job controller adds JOB_COMPLETION_INDEX. */}}
{{- define "migration-gate.env.fleet" }}
{{- if .fleet.schemas }}
- name: SAGE_MIGRATE_SCHEMAS
  value: {{ .fleet.schemas | quote }}
{{- end }}
{{- if .fleet.databases }}
- name: SAGE_MIGRATE_DATABASES
  value: {{ .fleet.databases | quote }}
{{- end }}
{{- if .fleet.tenantsFile }}
- name: SAGE_MIGRATE_TENANTS_FILE
  value: {{ .fleet.tenantsFile | quote }}
{{- end }}
{{- if .fleet.tenantsQuery }}
- name: SAGE_MIGRATE_TENANTS_QUERY
  value: {{ .fleet.tenantsQuery | quote }}
{{- end }}
{{- if .fleet.tenantsCommand }}
- name: SAGE_MIGRATE_TENANTS_COMMAND
  value: {{ .fleet.tenantsCommand | quote }}
{{- end }}
- name: SAGE_MIGRATE_TENANT_IS
  value: {{ .fleet.tenantIs }}
- name: SAGE_MIGRATE_SHARDS
  value: {{ .fleet.shards | int64 | quote }}
- name: SAGE_MIGRATE_SHARD_BY
  value: {{ .fleet.shardBy }}
- name: SAGE_MIGRATE_CONCURRENCY
  value: {{ .fleet.concurrency | int64 | quote }}
- name: SAGE_MIGRATE_SLOTS
  value: {{ .fleet.slots | int64 | quote }}
- name: SAGE_MIGRATE_MAX_FAILURES
  value: {{ .fleet.maxFailures | int64 | quote }}
{{- end }}
