{{/* The init container that waits for dependencies; arguments: root, list of "namespace:service", list of jobs, and perhaps
     a list of pods by their labels */}}
{{- define "helm-toolkit.entrypoint" -}}
{{- $root := index . 0 -}}
- name: init
  image: {{ $root.Values.images.tags.dep_check }}
  imagePullPolicy: {{ $root.Values.images.pull_policy }}
  command: [kubernetes-entrypoint]
  env:
    - name: POD_NAME
      valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.name}}
    - name: NAMESPACE
      valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}
    - {name: INTERFACE_NAME, value: eth0}
    - {name: PATH, value: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"}
    - {name: DEPENDENCY_SERVICE, value: {{ join "," (index . 1) | quote }}}
    - {name: DEPENDENCY_DAEMONSET, value: ""}
    - {name: DEPENDENCY_CONTAINER, value: ""}
    - {name: DEPENDENCY_POD_JSON, value: {{ if gt (len .) 3 }}{{ toJson (index . 3) | quote }}{{ else }}""{{ end }}}
    - {name: DEPENDENCY_JOBS, value: {{ join "," (index . 2) | quote }}}
    - {name: DEPENDENCY_CUSTOM_RESOURCE, value: ""}
    - {name: COMMAND, value: "echo done"}
  resources: {{ toJson $root.Values.pod.resources.init }}
{{- end }}

{{/* The service account of a component and what its init container may read; arguments: root, name */}}
{{- define "helm-toolkit.serviceAccount" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $root.Release.Name }}-{{ $name }}
  namespace: {{ $root.Release.Namespace }}
rules:
  - apiGroups: ["", batch, apps]
    resources: [services, endpoints, pods, jobs, daemonsets]
    verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $root.Release.Name }}-{{ $name }}
  namespace: {{ $root.Release.Namespace }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $root.Release.Name }}-{{ $name }}}
subjects: [{kind: ServiceAccount, name: {{ $name }}, namespace: {{ $root.Release.Namespace }}}]
{{- end }}

{{/* Annotations of a workload; argument: root */}}
{{- define "helm-toolkit.annotations" -}}
openstackhelm.openstack.org/release_uuid: ""
{{- end }}

{{/* sha256 of a rendered template of this chart; arguments: file name, root */}}
{{- define "helm-toolkit.hash" -}}
{{- $root := index . 1 -}}
{{- include (print $root.Template.BasePath "/" (index . 0)) $root | sha256sum -}}
{{- end }}
