{{/*
Print this chart's values with the parent's laid under them and every default filled in. Whatever else renders the hook
reads the result, so that inheritance is decided here and nowhere else. `merge` keeps what is not empty on the left.
*/}}
{{- define "migration-gate.resolve" -}}
{{- $parent := deepCopy (.parent | default dict) -}}
{{- $hook := deepCopy (omit .gate.Values "global") -}}

{{- $fullname := .gate.Values.fullnameOverride | default $parent.fullname | default .gate.Release.Name -}}
{{- $_ := set $hook "isOnline" (hasKey .gate "online") -}}
{{- if $hook.isOnline -}}
{{- $_ := set $hook "mode" (ternary "argocd-late" "job" (eq $hook.mode "argocd")) -}}
{{- $_ := set $hook "deadline" $hook.online.deadline -}}
{{- end -}}
{{- $isBeside := has $hook.mode (list "job" "argocd-late") -}}
{{- $_ := set $hook "name" (printf "%s-%s" ($fullname | trunc (ternary 51 55 $hook.fleet.enabled) | trimSuffix "-") (ternary "online" "migrate" $hook.isOnline)) -}}
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
{{- $_ := set $account "name" (ternary (printf "%s-online" $account.name) $account.name (and $hook.isOnline (not (empty $account.name)))) -}}
{{- $_ := set $account "name" ($account.name | default $hook.name) -}}
{{- else if or (not $ofApp.create) $isBeside -}}
{{- $_ := set $account "name" ($account.name | default $ofApp.name) -}}
{{- end -}}
{{- $_ := set $account "name" ($account.name | default "default") -}}
{{- $_ := set $hook "createdByRelease" (ternary $ofApp.name "" (and ($ofApp.create | default false) (or $account.create (not $isBeside)))) -}}

{{- $deadline := int64 .gate.Values.deadline -}}
{{- $_ := set $hook "waitTimeout" ($hook.waitTimeout | default (printf "%ds" (min 60 (div $deadline 4)))) -}}
{{- $_ := set $hook "statementTimeout" ($hook.statementTimeout | default (printf "%ds" (div (mul $deadline 3) 4))) -}}
{{- $_ := set $hook.fleet "parallelism" ($hook.fleet.parallelism | default $hook.fleet.shards) -}}
{{- toYaml $hook -}}
{{- end }}
