{{/*
Render the Job that does what releases leave of the online revisions: {gate, parent}, as the hook. It is no hook, so that
nothing waits for it, and what it needs is its own: the hook's account and policy are gone when the hook has succeeded.
*/}}
{{- define "migration-gate.online" -}}
{{- $gate := dict "Values" .gate.Values "Release" .gate.Release "Chart" .gate.Chart "online" true }}
{{- $run := include "migration-gate.resolve" (dict "gate" $gate "parent" .parent) | fromYaml }}
{{- if $run.serviceAccount.create }}
{{- include "migration-gate.serviceaccount" $run }}
---
{{ end }}
{{- if $run.networkPolicy.enabled }}
{{- include "migration-gate.networkpolicy" $run }}
---
{{ end }}
{{- include "migration-gate.contentNamed" $run }}
{{- end }}
