{{/* Fail for what cannot work. One rule, one sentence, named as the user spells it: "at" leads to the value. */}}
{{- define "migration-gate.validate" -}}
{{- include "migration-gate.validate.parent" . -}}
{{- include "migration-gate.validate.image" . -}}
{{- include "migration-gate.validate.database" (dict "at" (printf "%sdatabase" .at) "database" .database) -}}
{{- include "migration-gate.validate.serviceAccount" . -}}
{{- include "migration-gate.validate.ladder" . -}}
{{- include "migration-gate.validate.online" . -}}
{{- include "migration-gate.validate.fleet" . -}}
{{- include "migration-gate.validate.env" (dict "at" .at "env" (include "migration-gate.env" . | fromYamlArray)) -}}
{{- end }}

{{- define "migration-gate.validate.parent" -}}
{{- if and .hasParent (not .renderedByParent) }}
{{- fail (printf "%srenderedByParent must be true in a chart that includes migration-gate.hook, or the hook is rendered twice." .at) }}
{{- end }}
{{- end }}

{{- define "migration-gate.validate.image" -}}
{{- if not .image.repository }}
{{- fail (printf "%simage.repository is missing: name the image that holds sage-migrate and your migrations." .at) }}
{{- end }}
{{- if not (or .image.tag .image.digest) }}
{{- fail (printf "%simage.tag is missing: give the tag or the digest of %simage.repository." .at .at) }}
{{- end }}
{{- end }}

{{/* Check a database block; a parent chart does the same with its own: {at, database}. */}}
{{- define "migration-gate.validate.database" -}}
{{- $parts := include "migration-gate.database.parts" .database }}
{{- if and .database.existingSecret $parts }}
{{- fail (printf "%s gives both existingSecret and %s: name a Secret with the URL, or the parts of the connection, not both." .at $parts) }}
{{- end }}
{{- if not (or .database.existingSecret $parts) }}
{{- fail (printf "%s is missing: give %s.existingSecret, a Secret with the URL, or %s.host, name, user and passwordSecret.name." .at .at .at) }}
{{- end }}
{{- include "migration-gate.validate.tls" . }}
{{- if $parts }}
{{- range $part := list "host" "name" "user" }}
{{- if not (index $.database $part) }}
{{- fail (printf "%s.%s is missing: without %s.existingSecret the parts host, name and user are all needed." $.at $part $.at) }}
{{- end }}
{{- end }}
{{- if not (or (.database.passwordSecret | default dict).name .database.passwordless) }}
{{- fail (printf "%s.passwordSecret.name is missing: name the Secret that holds the password, or set %s.passwordless." .at .at) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "migration-gate.validate.tls" -}}
{{- $tls := .database.tls | default dict }}
{{- if and (or $tls.caKey $tls.certKey $tls.keyKey) (not $tls.secret) }}
{{- fail (printf "%s.tls.secret is missing: name the Secret that holds the keys given in %s.tls." .at .at) }}
{{- end }}
{{- if ne (empty $tls.certKey) (empty $tls.keyKey) }}
{{- fail (printf "%s.tls gives one of certKey and keyKey: a client certificate needs both." .at) }}
{{- end }}
{{- end }}

{{- define "migration-gate.validate.serviceAccount" -}}
{{- if and .createdByRelease (eq .createdByRelease .serviceAccount.name) }}
{{- fail (printf "%sserviceAccount.name is %s, the service account of the application, which this release creates after the hook: leave it empty or name another." .at .createdByRelease) }}
{{- end }}
{{- end }}

{{/* Each limit has to leave the next one time to act: https://www.postgresql.org/docs/current/runtime-config-client.html */}}
{{- define "migration-gate.validate.ladder" -}}
{{- $deadline := printf "%ds" (int64 .deadline) }}
{{- range $rung := list
  (list "lockTimeout" .lockTimeout "stallBudget" .stallBudget)
  (list "stallBudget" .stallBudget "statementTimeout" .statementTimeout)
  (list "statementTimeout" .statementTimeout "deadline" $deadline)
  (list "waitTimeout" .waitTimeout "deadline" $deadline)
}}
{{- if ge (include "migration-gate.milliseconds" (index $rung 1) | int64) (include "migration-gate.milliseconds" (index $rung 3) | int64) }}
{{- fail (printf "%s%s (%s) must be shorter than %s%s (%s)." $.at (index $rung 0) (index $rung 1) $.at (index $rung 2) (index $rung 3)) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "migration-gate.validate.online" -}}
{{- if and .online.enabled (le (int64 .online.deadline) (int64 .deadline)) }}
{{- fail (printf "%sonline.deadline (%d) must be longer than %sdeadline (%d), or the hook has as much time for the same." .at (int64 .online.deadline) .at (int64 .deadline)) }}
{{- end }}
{{- end }}

{{- define "migration-gate.validate.fleet" -}}
{{- $given := list }}
{{- range $source := list "schemas" "databases" "tenantsFile" "tenantsQuery" "tenantsCommand" }}
{{- if index $.fleet $source }}{{ $given = append $given $source }}{{ end }}
{{- end }}
{{- if and .fleet.enabled (not $given) }}
{{- fail (printf "%sfleet names no tenants: give one of schemas, databases, tenantsFile, tenantsQuery, tenantsCommand." .at) }}
{{- end }}
{{- if gt (len $given) 1 }}
{{- fail (printf "%sfleet gives %s: one source of tenants counts." .at (join ", " $given)) }}
{{- end }}
{{- if and $given (not .fleet.enabled) }}
{{- fail (printf "%sfleet.%s is given and %sfleet.enabled is false: nothing would be done for any tenant." .at (first $given) .at) }}
{{- end }}
{{- if and .fleet.enabled .online.enabled }}
{{- fail (printf "%sfleet and %sonline are both enabled: a fleet's revisions are done by the hook alone." .at .at) }}
{{- end }}
{{- if gt (int64 .fleet.parallelism) (int64 .fleet.shards) }}
{{- fail (printf "%sfleet.parallelism (%d) must not be more than %sfleet.shards (%d)." .at (int64 .fleet.parallelism) .at (int64 .fleet.shards)) }}
{{- end }}
{{- end }}

{{/* Refuse a variable that is there twice, as server-side apply does, but with its name; {at, env}. */}}
{{- define "migration-gate.validate.env" -}}
{{- $seen := list }}
{{- range .env }}
{{- if has .name $seen }}
{{- fail (printf "%sextraEnv gives %s, which the chart sets itself or which is there twice." $.at .name) }}
{{- end }}
{{- $seen = append $seen .name }}
{{- end }}
{{- end }}
