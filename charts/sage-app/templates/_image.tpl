{{/* Print the image block with its tag filled in. */}}
{{- define "sage-app.image" -}}
{{- mergeOverwrite (deepCopy .Values.image) (dict "tag" (.Values.image.tag | default .Chart.AppVersion)) | toYaml }}
{{- end }}
