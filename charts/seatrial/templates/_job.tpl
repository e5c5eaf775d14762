{{- /* One run. No retry: a verdict is not asked for again until it pleases. */ -}}
{{- define "seatrial.job" -}}
backoffLimit: 0
activeDeadlineSeconds: {{ .Values.deadlineSeconds }}
template:
  metadata:
    labels:
      {{- include "seatrial.labels" . | nindent 6 }}
      {{- with .Values.podLabels }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with .Values.podAnnotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    restartPolicy: Never
    terminationGracePeriodSeconds: {{ .Values.graceSeconds }}
    serviceAccountName: {{ include "seatrial.account" . }}
    {{- with .Values.image.pullSecrets }}
    imagePullSecrets:
      {{- range . }}
      - name: {{ . }}
      {{- end }}
    {{- end }}
    securityContext:
      runAsNonRoot: true
      runAsUser: 10001
      runAsGroup: 10001
      fsGroup: 10001
      seccompProfile:
        type: RuntimeDefault
    containers:
      - name: seatrial
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        command: [sh, /etc/seatrial/run.sh]
        args:
          - --settings=/etc/seatrial/seatrial.toml
          - --cloud={{ .Values.cloud }}
          - --fail-at={{ .Values.claims.failAt }}
          {{- with .Values.claims.settle }}
          - --settle={{ . }}
          {{- end }}
          {{- with .Values.claims.subsystems }}
          - -m
          - {{ join " or " . }}
          {{- end }}
          {{- with .Values.openstack.cloud }}
          - --os-cloud={{ . }}
          {{- end }}
          {{- range .Values.claims.extraArgs }}
          - {{ . | quote }}
          {{- end }}
        env:
          - name: HOME
            value: /work
          - name: WORK
            value: /work
          - name: HISTORY
            value: /history
          - name: REPORT
            value: {{ .Values.history.report | quote }}
          - name: KEEP
            value: {{ .Values.history.keep | quote }}
          {{- if .Values.openstack.cloudsSecret }}
          - name: OS_CLIENT_CONFIG_FILE
            value: /etc/openstack/clouds.yaml
          {{- end }}
        workingDir: /work
        resources:
          {{- toYaml .Values.resources | nindent 10 }}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities:
            drop: [ALL]
        volumeMounts:
          - name: settings
            mountPath: /etc/seatrial
          - name: history
            mountPath: /history
          - name: work
            mountPath: /work
          - name: tmp
            mountPath: /tmp
          {{- if .Values.openstack.cloudsSecret }}
          - name: clouds
            mountPath: /etc/openstack
            readOnly: true
          {{- end }}
    volumes:
      - name: settings
        configMap:
          name: {{ include "seatrial.name" . }}
      - name: history
        {{- if .Values.history.enabled }}
        persistentVolumeClaim:
          claimName: {{ .Values.history.existingClaim | default (include "seatrial.name" .) }}
        {{- else }}
        emptyDir: {}
        {{- end }}
      - name: work
        emptyDir: {}
      - name: tmp
        emptyDir: {}
      {{- with .Values.openstack.cloudsSecret }}
      - name: clouds
        secret:
          secretName: {{ . }}
      {{- end }}
    {{- with .Values.nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.affinity }}
    affinity:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end -}}
