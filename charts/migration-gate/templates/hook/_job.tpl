{{/* Render the Job under a name that tells its content: a Job cannot be changed, so another content is another Job. */}}
{{- define "migration-gate.contentNamed" -}}
{{- $hash := include "migration-gate.job" . | sha256sum | trunc 8 }}
{{- include "migration-gate.job" (merge (dict "name" (printf "%s-%s" (.name | trunc (ternary 50 54 .fleet.enabled) | trimSuffix "-") $hash)) .) }}
{{- end }}
{{/*
Render the Job that migrates. It has no ttlSecondsAfterFinished: Helm 4 and Argo CD wait for ever for a hook that is
collected before they saw its end. Nothing here may differ from one rendering to the next. Whether a fleet's tenants that
failed (exit status 50) are tried again is what backoffLimitPerIndex says.
*/}}
{{- define "migration-gate.job" -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "migration-gate.metadata" (dict "hook" . "kind" "Job" "name" .name "annotations" .annotations) | nindent 2 }}
spec:
  {{- if .isOnline }}
  backoffLimit: {{ int64 .online.backoffLimit }}
  {{- else if .fleet.enabled }}
  completionMode: Indexed
  completions: {{ int64 .fleet.shards }}
  parallelism: {{ .fleet.parallelism | int64 }}
  # An index that failed keeps no other from its turn; the Job has failed when all have ended.
  backoffLimitPerIndex: {{ int64 .fleet.backoffLimitPerIndex }}
  {{- else }}
  backoffLimit: 0
  {{- end }}
  {{- if not .isOnline }}
  # 15 seconds after the pod's own deadline, because the Job's deletes the pod and its log (kubernetes/kubernetes#78644).
  activeDeadlineSeconds: {{ include "migration-gate.jobDeadline" . }}
  {{- end }}
  # Never a second runner beside one that is still ending.
  podReplacementPolicy: Failed
  podFailurePolicy:
    rules:
      # The first match wins: an evicted runner also exits with a status, and is to be replaced.
      - action: Ignore
        onPodConditions:
          - type: DisruptionTarget
            status: "True"
      - action: {{ ternary "FailIndex" "FailJob" .fleet.enabled }}
        onExitCodes:
          containerName: migrate
          operator: NotIn
          {{- /* Of an online run, what another try can mend: the statuses that are "again unchanged", and SIGKILL. */}}
          values: {{ ternary "[0, 10, 30, 31, 34, 41, 42, 130, 137, 143]" (ternary "[0, 50]" "[0]" .fleet.enabled) .isOnline }}
  template:
    metadata:
      labels:
        {{- mergeOverwrite .podLabels .labels | toYaml | nindent 8 }}
      {{- with mergeOverwrite (dict) .commonAnnotations .podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      restartPolicy: Never
      activeDeadlineSeconds: {{ add (int64 .deadline) 30 }}
      # Shorter than the 15 seconds that are left until the Job's deadline.
      terminationGracePeriodSeconds: 10
      serviceAccountName: {{ .serviceAccount.name }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with .imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- toYaml .podSecurityContext | nindent 8 }}
      {{- with .extraInitContainers }}
      initContainers:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: migrate
          image: {{ include "migration-gate.image" .image | quote }}
          imagePullPolicy: {{ .image.pullPolicy | default "IfNotPresent" }}
          command: [sage-migrate]
          args:
            {{- concat (ternary (list "upgrade" "--online") (ternary (list "fleet" "upgrade") (list "upgrade") .fleet.enabled) .isOnline) .extraArgs | toYaml | nindent 12 }}
          env:
            {{- include "migration-gate.env" . | nindent 12 }}
          {{- with .extraEnvFrom }}
          envFrom:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          resources:
            {{- toYaml .resources | nindent 12 }}
          securityContext:
            {{- toYaml .securityContext | nindent 12 }}
          # The runner writes its result there. One that died before shows the end of its log instead.
          terminationMessagePath: /dev/termination-log
          terminationMessagePolicy: FallbackToLogsOnError
          {{- with concat (include "migration-gate.database.mounts" .database | fromYamlArray) .extraVolumeMounts }}
          volumeMounts:
            {{- toYaml . | nindent 12 }}
          {{- end }}
      {{- with concat (include "migration-gate.database.volumes" .database | fromYamlArray) .extraVolumes }}
      volumes:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with include "migration-gate.scheduling" . }}
        {{- . | nindent 6 }}
      {{- end }}
{{- end }}
