{{/* Print the reference of an image from {registry, repository, tag, digest}; the digest wins. */}}
{{- define "migration-gate.image" -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}
