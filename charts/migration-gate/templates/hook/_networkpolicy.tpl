{{/* Render what lets the hook's pod reach names and the database where a namespace denies by default; nobody reaches it. */}}
{{- define "migration-gate.networkpolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "migration-gate.metadata" (dict "hook" . "kind" "NetworkPolicy" "name" .name "annotations" dict) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- pick .labels "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" | toYaml | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress: []
  egress:
    {{- include "migration-gate.egress" . | nindent 4 }}
{{- end }}

{{/* Print the rules for DNS, the database and what a user adds, from {database, networkPolicy}. */}}
{{- define "migration-gate.egress" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
- ports:
    - {port: {{ .networkPolicy.databasePort | default .database.port | default 5432 | int64 }}, protocol: TCP}
  {{- with .networkPolicy.database }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- with .networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}
