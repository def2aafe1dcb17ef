{{/* Print what a person needs to know of the hook after an install; the same argument as migration-gate.hook. */}}
{{- define "migration-gate.notes" -}}
{{- if .gate.Values.enabled }}
{{- $hook := include "migration-gate.resolve" . | fromYaml -}}
{{- if eq $hook.mode "job" -}}
Beside the release a Job migrates the database. Until it has, new pods are not ready and those of the release before go
on serving. What it says:

  kubectl --namespace {{ $hook.namespace }} logs --selector app.kubernetes.io/name=migration-gate,app.kubernetes.io/instance={{ .gate.Release.Name }} --tail -1
{{- else -}}
Before each install and upgrade the Job {{ $hook.name }} migrates the database. When it fails, the release is
aborted, Helm prints the log of the Job, and the pods of the release before go on serving. The failed Job stays
until the next try, for you to read:

  kubectl --namespace {{ $hook.namespace }} logs job/{{ $hook.name }}
{{- $seconds := include "migration-gate.jobDeadline" $hook | int64 }}
{{- if gt $seconds 285 }}

The migration may take {{ sub $seconds 45 }} seconds: give Helm more than its 300, in each command:

  helm upgrade --timeout {{ add $seconds 15 }}s …
{{- end }}
{{- end }}
{{- else -}}
{{ include "migration-gate.valuesPath" .gate }}enabled is false: nothing migrated the database, and nothing checked that somebody did.
{{- end }}
{{- end }}
