{{/* Fail for what cannot work. One rule, one sentence; the rules for a database are those of migration-gate. */}}
{{- define "sage-app.validate" -}}
{{- include "migration-gate.validate.database" (dict "at" "database" "database" .Values.database) -}}
{{- include "migration-gate.validate.env" (dict "at" "" "env" (include "sage-app.env" . | fromYamlArray)) -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.hosts is missing: name the hosts that the Ingress is for." }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int64 .Values.autoscaling.minReplicas) (int64 .Values.autoscaling.maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas (%d) must not be more than autoscaling.maxReplicas (%d)." (int64 .Values.autoscaling.minReplicas) (int64 .Values.autoscaling.maxReplicas)) }}
{{- end }}
{{- if ge (int64 .Values.preStopSleepSeconds) (int64 .Values.terminationGracePeriodSeconds) }}
{{- fail (printf "preStopSleepSeconds (%d) must be shorter than terminationGracePeriodSeconds (%d)." (int64 .Values.preStopSleepSeconds) (int64 .Values.terminationGracePeriodSeconds)) }}
{{- end }}
{{- end }}
