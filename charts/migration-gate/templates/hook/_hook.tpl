{{/*
Render every object of the hook. The one template that a parent chart includes:

  {{ include "migration-gate.hook" (dict "gate" .Subcharts.migration "parent" (dict "fullname" … "image" … …)) }}

"gate" is this chart's own context. "parent" holds what is inherited where this chart's values are empty: fullname,
image, imagePullSecrets, database, commonLabels, commonAnnotations, and serviceAccount as {create, name}, all in the
shape of this chart's values.
*/}}
{{- define "migration-gate.hook" -}}
{{- if .gate.Values.enabled -}}
{{- $hook := include "migration-gate.resolve" . | fromYaml -}}
{{- include "migration-gate.validate" $hook -}}
{{- if $hook.serviceAccount.create }}
{{- include "migration-gate.serviceaccount" $hook }}
---
{{ end }}
{{- if $hook.networkPolicy.enabled }}
{{- include "migration-gate.networkpolicy" $hook }}
---
{{ end }}
{{- include (ternary "migration-gate.contentNamed" "migration-gate.job" (eq $hook.mode "job")) $hook }}
{{- if $hook.online.enabled }}
---
{{ include "migration-gate.online" . }}
{{- end }}
{{- end }}
{{- end }}
