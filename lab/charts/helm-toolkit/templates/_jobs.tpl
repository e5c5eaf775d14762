{{/* The Jobs that every service has: its database's schema, and its user, service and endpoints in Keystone.
     Argument: root. The chart's own configmap-bin has db-sync.sh. */}}
{{- define "helm-toolkit.setupJobs" -}}
{{- $chart := .Chart.Name -}}
{{- $namespace := .Release.Namespace -}}
{{- $database := list (dict "name" "DB_CONNECTION" "valueFrom" (dict "secretKeyRef" (dict "name" (print $chart "-db-admin") "key" "DB_CONNECTION"))) -}}
{{ include "helm-toolkit.job" (dict "root" . "name" (print $chart "-db-sync") "component" "db-sync"
  "command" (list "sh" "-euc" "python /opt/bin/db-init.py && sh -eu /opt/bin/db-sync.sh") "env" $database
  "services" (list (print $namespace ":mariadb"))) }}
---
{{ include "helm-toolkit.job" (dict "root" . "name" (print $chart "-ks-endpoints") "component" "ks-endpoints"
  "command" (list "python" "/opt/bin/ks-endpoints.py") "env" (fromYamlArray (include "helm-toolkit.adminEnv" .))
  "services" (list (print $namespace ":keystone-api"))) }}
{{- end }}

{{/* Environment of a Job that acts as the cloud's administrator, from the chart's own copy of the credentials */}}
{{- define "helm-toolkit.adminEnv" -}}
{{- $secret := print .Chart.Name "-keystone-admin" -}}
{{- range list "OS_AUTH_URL" "OS_REGION_NAME" "OS_INTERFACE" "OS_PROJECT_DOMAIN_NAME" "OS_PROJECT_NAME" "OS_USER_DOMAIN_NAME" "OS_USERNAME" "OS_PASSWORD" }}
- {name: {{ . }}, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ . }}}}}
{{- end }}
{{- end }}

{{/* Secrets of a service: its configuration, and what its Jobs log in with. Arguments: root */}}
{{- define "helm-toolkit.secrets" -}}
{{- $chart := .Chart.Name -}}
{{- $namespace := .Release.Namespace -}}
{{- $admin := .Values.endpoints.identity.admin -}}
{{- $url := printf "http://keystone-api.%s.svc.cluster.local:5000/v3" $namespace -}}
{{- $common := dict "OS_AUTH_URL" $url "OS_REGION_NAME" "RegionOne" "OS_INTERFACE" "internal" "OS_PROJECT_DOMAIN_NAME" "default" "OS_USER_DOMAIN_NAME" "default" "OS_DEFAULT_DOMAIN" "default" -}}
{{ include "helm-toolkit.secret" (list . (print $chart "-etc") (fromYaml (include (print $chart ".etc") .))) }}
---
{{ include "helm-toolkit.secret" (list . (print $chart "-db-admin") (dict "DB_CONNECTION" (printf "mysql+pymysql://%s:%s@mariadb.%s.svc.cluster.local:3306" .Values.endpoints.oslo_db.admin.username .Values.endpoints.oslo_db.admin.password $namespace))) }}
---
{{ include "helm-toolkit.secret" (list . (print $chart "-keystone-admin") (merge (dict "OS_USERNAME" $admin.username "OS_PASSWORD" $admin.password "OS_PROJECT_NAME" "admin") $common)) }}
{{- if ne $chart "keystone" }}
---
{{ include "helm-toolkit.secret" (list . (print $chart "-keystone-user") (merge (dict "OS_USERNAME" $chart "OS_PASSWORD" .Values.endpoints.identity.auth.password "OS_PROJECT_NAME" "service") $common)) }}
{{- end }}
{{- end }}

{{/* One Secret; arguments: root, name, map of texts */}}
{{- define "helm-toolkit.secret" -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ index . 1 }}
  namespace: {{ (index . 0).Release.Namespace }}
type: Opaque
data:
{{- range $key, $text := index . 2 }}
  {{ $key }}: {{ $text | b64enc }}
{{- end }}
{{- end }}
