{{/* The six labels of a component; arguments: root, application, component */}}
{{- define "helm-toolkit.labels" -}}
{{- $root := index . 0 -}}
release_group: {{ $root.Values.release_group | default $root.Release.Name }}
application: {{ index . 1 }}
component: {{ index . 2 }}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/component: {{ index . 2 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- end }}

{{/* Anti-affinity between the pods of a component, by pod.affinity.anti.type.default; arguments: root, application, component */}}
{{- define "helm-toolkit.antiAffinity" -}}
{{- $root := index . 0 -}}
{{- $term := include "helm-toolkit.antiAffinityTerm" . -}}
podAntiAffinity:
{{- if eq $root.Values.pod.affinity.anti.type.default "requiredDuringSchedulingIgnoredDuringExecution" }}
  requiredDuringSchedulingIgnoredDuringExecution:
    -{{ $term | indent 6 | trimPrefix "     " }}
{{- else }}
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 10
      podAffinityTerm:
        {{- /* Of one revision: beside those that a rollout replaces, two of the new ones would meet on a node. */}}
        matchLabelKeys: [pod-template-hash]
{{ $term | indent 8 }}
{{- end }}
{{- end }}

{{- define "helm-toolkit.antiAffinityTerm" -}}
{{- $root := index . 0 -}}
topologyKey: kubernetes.io/hostname
labelSelector:
  matchExpressions:
    - {key: release_group, operator: In, values: [{{ $root.Values.release_group | default $root.Release.Name }}]}
    - {key: application, operator: In, values: [{{ index . 1 }}]}
    - {key: component, operator: In, values: [{{ index . 2 }}]}
{{- end }}
