{{/*
Print the annotations of an object of the gate: {mode, kind, annotations}. What makes it run in its place is merged last,
over whatever a user gives. Under Argo CD what the Job needs is an object like any other, one wave earlier: as a hook it
would be deleted and made again by each sync. An online run comes after every other wave, or a sync would wait for it before
the next. Beside a plain Job nothing is special. Flux is Helm without the log: its helm-controller ends with a fault where it is
asked for one, https://github.com/fluxcd/helm-controller/issues/1562
*/}}
{{- define "migration-gate.annotations" -}}
{{- $own := dict }}
{{- if has .mode (list "helm" "flux") }}
{{- $own = dict "helm.sh/hook" "pre-install,pre-upgrade" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" }}
{{- if ne .kind "Job" }}
{{- $_ := set $own "helm.sh/hook-weight" "-1" }}
{{- else if eq .mode "helm" }}
{{- $_ := set $own "helm.sh/hook-output-log-policy" "hook-failed" }}
{{- end }}
{{- else if eq .mode "argocd" }}
{{- if eq .kind "Job" }}
{{- $own = dict "argocd.argoproj.io/hook" "Sync" "argocd.argoproj.io/hook-delete-policy" "BeforeHookCreation,HookSucceeded" "argocd.argoproj.io/sync-wave" "-1" }}
{{- else }}
{{- $own = dict "argocd.argoproj.io/sync-wave" "-2" }}
{{- end }}
{{- else if eq .mode "argocd-late" }}
{{- $own = dict "argocd.argoproj.io/sync-wave" "1000" }}
{{- end }}
{{- $all := mergeOverwrite (dict) (.common | default dict) (.annotations | default dict) $own }}
{{- if $all }}{{ toYaml $all }}{{ end }}
{{- end }}

{{/* Print the metadata of an object of the gate: {hook, kind, name, annotations}. */}}
{{- define "migration-gate.metadata" -}}
name: {{ .name }}
namespace: {{ .hook.namespace }}
labels:
  {{- toYaml .hook.labels | nindent 2 }}
{{- with include "migration-gate.annotations" (dict "mode" .hook.mode "kind" .kind "common" .hook.commonAnnotations "annotations" .annotations) }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}
