{{/* What a pod of a service mounts of its configuration, one file each, as openstack-helm does.
     Arguments: root, name of the Secret */}}
{{- define "helm-toolkit.etcMounts" -}}
{{- $root := index . 0 -}}
- {name: pod-tmp, mountPath: /tmp}
- {name: bin, mountPath: /opt/bin, readOnly: true}
{{- range $file, $text := fromYaml (include (print $root.Chart.Name ".etc") $root) }}
- {name: etc, mountPath: /etc/{{ $root.Chart.Name }}/{{ $file }}, subPath: {{ $file }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "helm-toolkit.etcVolumes" -}}
{{- $root := index . 0 -}}
- name: pod-tmp
  emptyDir: {}
- name: bin
  configMap: {name: {{ $root.Chart.Name }}-bin, defaultMode: 0555}
- name: etc
  secret: {secretName: {{ index . 1 }}, defaultMode: 0444}
{{- end }}

{{/* A Deployment of a service. Arguments, as one map:
     root; name; component; container; role: its key under pod.replicas, pod.resources; command
     port, portName; readiness, liveness: probes
     services, jobs, pods: what it waits for
     and perhaps etc: the Secret (CHART-etc), env, initContainers, mounts, volumes: lists as YAML has them
     kind: StatefulSet, or DaemonSet with hostNetwork; nodeSelector */}}
{{- define "helm-toolkit.workload" -}}
{{- $root := .root -}}
{{- $chart := $root.Chart.Name -}}
{{- $values := $root.Values -}}
{{- $kind := .kind | default "Deployment" -}}
{{- $etc := .etc | default (print $chart "-etc") -}}
{{- $labels := include "helm-toolkit.labels" (list $root $chart .component) -}}
apiVersion: apps/v1
kind: {{ $kind }}
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- include "helm-toolkit.annotations" $root | nindent 4 }}
spec:
  {{- if eq $kind "StatefulSet" }}
  serviceName: {{ .name }}
  podManagementPolicy: Parallel
  replicas: {{ get $values.pod.replicas .role }}
  {{- else if eq $kind "Deployment" }}
  replicas: {{ get $values.pod.replicas .role }}
  revisionHistoryLimit: 3
  strategy: {rollingUpdate: {maxUnavailable: 1, maxSurge: 1}}
  {{- else }}
  updateStrategy: {rollingUpdate: {maxUnavailable: 1}}
  {{- end }}
  selector:
    matchLabels:
      {{- $labels | nindent 6 }}
  template:
    metadata:
      labels:
        {{- $labels | nindent 8 }}
      annotations:
        {{- include "helm-toolkit.annotations" $root | nindent 8 }}
        configmap-bin-hash: {{ include "helm-toolkit.hash" (list "configmap-bin.yaml" $root) }}
        configmap-etc-hash: {{ include "helm-toolkit.hash" (list "secrets.yaml" $root) }}
    spec:
      serviceAccountName: {{ $chart }}
      {{- if ne $kind "DaemonSet" }}
      affinity:
        {{- include "helm-toolkit.antiAffinity" (list $root $chart .component) | nindent 8 }}
      {{- end }}
      nodeSelector:
        {{- toYaml (.nodeSelector | default (dict $values.labels.server.node_selector_key $values.labels.server.node_selector_value)) | nindent 8 }}
      {{- if .hostNetwork }}
      hostNetwork: true
      dnsPolicy: ClusterFirstWithHostNet
      {{- end }}
      terminationGracePeriodSeconds: {{ $values.pod.termination_grace_period }}
      initContainers:
        {{- include "helm-toolkit.entrypoint" (list $root (.services | default list) (.jobs | default list) (.pods | default list)) | nindent 8 }}
        {{- with .initContainers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      containers:
        - name: {{ .container }}
          image: {{ get $values.images.tags .role | default (get $values.images.tags $chart) }}
          imagePullPolicy: {{ $values.images.pull_policy }}
          command: {{ toJson .command }}
          resources: {{ toJson (get $values.pod.resources .role) }}
          {{- with .port }}
          ports: [{name: {{ $.portName }}, containerPort: {{ . }}}]
          {{- end }}
          {{- with .readiness }}
          readinessProbe: {{ toJson . }}
          {{- end }}
          {{- with .liveness }}
          livenessProbe: {{ toJson . }}
          {{- /* A busy machine takes minutes for a start that an idle one does in seconds. */}}
          startupProbe: {{ toJson (merge (dict "initialDelaySeconds" 5 "periodSeconds" 5 "failureThreshold" 60) .) }}
          {{- end }}
          {{- with .env }}
          env:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          volumeMounts:
            {{- include "helm-toolkit.etcMounts" (list $root $etc) | nindent 12 }}
            {{- with .mounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        {{- include "helm-toolkit.etcVolumes" (list $root $etc) | nindent 8 }}
        {{- with .volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end }}

{{/* A probe that an API answers HTTP; arguments: path, port, initial delay in seconds */}}
{{- define "helm-toolkit.httpProbe" -}}
{httpGet: {path: {{ index . 0 }}, port: {{ index . 1 }}}, initialDelaySeconds: {{ index . 2 }}, periodSeconds: 10, timeoutSeconds: 5}
{{- end }}

{{/* A probe that a daemon is connected to the broker: 1628 is port 5672, 01 an established connection */}}
{{- define "helm-toolkit.amqpProbe" -}}
{exec: {command: [grep, -qE, ":1628 01 ", /proc/net/tcp]}, initialDelaySeconds: 2, periodSeconds: 10, timeoutSeconds: 5}
{{- end }}

{{/* A Job of a service; arguments, as one map: root, name, component, command, services, jobs, pods, env, mounts, volumes */}}
{{- define "helm-toolkit.job" -}}
{{- $root := .root -}}
{{- $chart := $root.Chart.Name -}}
{{- $labels := include "helm-toolkit.labels" (list $root $chart .component) -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- include "helm-toolkit.annotations" $root | nindent 4 }}
spec:
  backoffLimit: 1000
  template:
    metadata:
      labels:
        {{- $labels | nindent 8 }}
      annotations:
        {{- include "helm-toolkit.annotations" $root | nindent 8 }}
    spec:
      serviceAccountName: {{ $chart }}
      restartPolicy: OnFailure
      nodeSelector:
        {{ $root.Values.labels.server.node_selector_key }}: {{ $root.Values.labels.server.node_selector_value }}
      terminationGracePeriodSeconds: 1
      initContainers:
        {{- include "helm-toolkit.entrypoint" (list $root (.services | default list) (.jobs | default list) (.pods | default list)) | nindent 8 }}
      containers:
        - name: {{ .name }}
          image: {{ get $root.Values.images.tags $chart }}
          imagePullPolicy: {{ $root.Values.images.pull_policy }}
          command: {{ toJson .command }}
          resources: {{ toJson $root.Values.pod.resources.jobs }}
          {{- with .env }}
          env:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          volumeMounts:
            {{- include "helm-toolkit.etcMounts" (list $root (print $chart "-etc")) | nindent 12 }}
            {{- with .mounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        {{- include "helm-toolkit.etcVolumes" (list $root (print $chart "-etc")) | nindent 8 }}
        {{- with .volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end }}

{{/* The Service of an API, and the budget that keeps one replica where there are several.
     Arguments, as one map: root, name, component, role, port, portName, and perhaps budget: its name */}}
{{- define "helm-toolkit.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
spec:
  ports: [{name: {{ .portName }}, port: {{ .port }}}]
  selector:
    {{- include "helm-toolkit.labels" (list .root .root.Chart.Name .component) | nindent 4 }}
{{- if gt (int (get .root.Values.pod.replicas .role)) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .budget | default .name }}
  namespace: {{ .root.Release.Namespace }}
spec:
  minAvailable: {{ .root.Values.pod.lifecycle.disruption_budget.min_available }}
  selector:
    matchLabels:
      {{- include "helm-toolkit.labels" (list .root .root.Chart.Name .component) | nindent 6 }}
{{- end }}
{{- end }}
