{{/* Fail for what cannot work. One rule, one sentence; the rules for a database are those of migration-gate. */}}
{{- define "sage-app.validate" -}}
{{- include "migration-gate.validate.database" (dict "at" "database" "database" .Values.database) -}}
{{- include "migration-gate.validate.env" (dict "at" "" "env" (include "sage-app.env" . | fromYamlArray)) -}}
{{- if ge (int64 .Values.preStopSleepSeconds) (int64 .Values.terminationGracePeriodSeconds) }}
{{- fail (printf "preStopSleepSeconds (%d) must be shorter than terminationGracePeriodSeconds (%d)." (int64 .Values.preStopSleepSeconds) (int64 .Values.terminationGracePeriodSeconds)) }}
{{- end }}
{{- end }}
