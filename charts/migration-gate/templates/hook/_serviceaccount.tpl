{{/* Render the hook's own service account: made before the Job by its weight, and no object of the application. */}}
{{- define "migration-gate.serviceaccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "migration-gate.metadata" (dict "hook" . "kind" "ServiceAccount" "name" .serviceAccount.name "annotations" .serviceAccount.annotations) | nindent 2 }}
automountServiceAccountToken: false
{{- end }}
