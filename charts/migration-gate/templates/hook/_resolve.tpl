{{/*
Print this chart's values with the parent's laid under them and every default filled in. Whatever else renders the hook
reads the result, so that inheritance is decided here and nowhere else. `merge` keeps what is not empty on the left.
*/}}
{{- define "migration-gate.resolve" -}}
{{- $parent := deepCopy (.parent | default dict) -}}
{{- $hook := deepCopy (omit .gate.Values "global") -}}

{{- $fullname := .gate.Values.fullnameOverride | default $parent.fullname | default .gate.Release.Name -}}
{{- $_ := set $hook "name" (printf "%s-migrate" ($fullname | trunc 55 | trimSuffix "-")) -}}
{{- $_ := set $hook "namespace" .gate.Release.Namespace -}}
{{- $_ := set $hook "labels" (mergeOverwrite (dict) ($hook.commonLabels | default $parent.commonLabels | default dict) (include "migration-gate.labels" .gate | fromYaml)) -}}
{{- $_ := set $hook "commonAnnotations" ($hook.commonAnnotations | default $parent.commonAnnotations | default dict) -}}
{{- $_ := set $hook "at" (include "migration-gate.valuesPath" .gate) -}}
{{- $_ := set $hook "hasParent" (hasKey . "parent") -}}

{{- $image := $parent.image | default dict -}}
{{- if or $hook.image.repository $hook.image.tag $hook.image.digest -}}
{{- $image = omit $image "tag" "digest" -}}
{{- end -}}
{{- $_ := set $hook "image" (merge $hook.image $image) -}}
{{- $_ := set $hook "imagePullSecrets" ($hook.imagePullSecrets | default $parent.imagePullSecrets) -}}

{{- $database := $parent.database | default dict -}}
{{- if $hook.database.existingSecret -}}
{{- $database = pick $database "existingSecretKey" "tls" -}}
{{- else if include "migration-gate.database.parts" $hook.database -}}
{{- $database = omit $database "existingSecret" "existingSecretKey" -}}
{{- end -}}
{{- $_ := set $hook "database" (merge $hook.database $database) -}}

{{- $ofApp := $parent.serviceAccount | default dict -}}
{{- $account := $hook.serviceAccount -}}
{{- if $account.create -}}
{{- $_ := set $account "name" ($account.name | default $hook.name) -}}
{{- else if or (not $ofApp.create) (eq $hook.mode "job") -}}
{{- $_ := set $account "name" ($account.name | default $ofApp.name) -}}
{{- end -}}
{{- $_ := set $account "name" ($account.name | default "default") -}}
{{- $_ := set $hook "createdByRelease" (ternary $ofApp.name "" (and ($ofApp.create | default false) (or $account.create (ne $hook.mode "job")))) -}}

{{- $deadline := int64 $hook.deadline -}}
{{- $_ := set $hook "waitTimeout" ($hook.waitTimeout | default (printf "%ds" (min 60 (div $deadline 4)))) -}}
{{- $_ := set $hook "statementTimeout" ($hook.statementTimeout | default (printf "%ds" (div (mul $deadline 3) 4))) -}}
{{- toYaml $hook -}}
{{- end }}
