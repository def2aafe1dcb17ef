{{/* Print what makes an object a hook. The template owns these: they are merged last, over whatever a user gives. */}}
{{- define "migration-gate.hookAnnotations" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
