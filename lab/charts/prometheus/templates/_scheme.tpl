{{/* How a job speaks to its targets; those with TLS want the service account's token */}}
{{- define "prometheus.scheme" -}}
scheme: {{ . }}
{{- if eq . "https" }}
tls_config: {ca_file: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt, insecure_skip_verify: true}
authorization: {credentials_file: /var/run/secrets/kubernetes.io/serviceaccount/token}
{{- end }}
{{- end }}
