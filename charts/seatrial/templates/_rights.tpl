{{- /* The rules of docs/clusterrole.yaml: lists for every run, the stronger ones as the claims selected take them. */ -}}
{{- define "seatrial.rules" -}}
- apiGroups: [""]
  resources: [configmaps, endpoints, events, namespaces, nodes, persistentvolumeclaims, persistentvolumes, pods, secrets, services]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [daemonsets, deployments, replicasets, statefulsets]
  verbs: [get, list, watch]
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [get, list, watch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [flowcontrol.apiserver.k8s.io]
  resources: [flowschemas, prioritylevelconfigurations]
  verbs: [get, list, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch]
- apiGroups: [storage.k8s.io]
  resources: [csidrivers, storageclasses, volumeattachments]
  verbs: [get, list, watch]
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations, validatingwebhookconfigurations]
  verbs: [get, list, watch]
{{- if has "logs" .rights }}
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end }}
{{- if has "proxy" .rights }}
- apiGroups: [""]
  resources: [services/proxy]
  verbs: [get]
{{- end }}
{{- if and (has "token" .rights) (not .clouds) }}
- apiGroups: [""]
  resources: [services/proxy]
  verbs: [create]  # the token: a POST to Keystone
{{- end }}
{{- if has "kubelets" .rights }}
- apiGroups: [""]
  resources: [nodes/proxy, nodes/stats, nodes/metrics, nodes/configz]
  verbs: [get]
{{- end }}
{{- if has "exec" .rights }}
- apiGroups: [""]
  resources: [pods/exec]
  verbs: [get, create]
{{- end }}
{{- if has "apiserver" .rights }}
- nonResourceURLs: [/version, /metrics, /metrics/*, /livez, /readyz, /healthz]
  verbs: [get]
{{- end }}
{{- end -}}
