{{/* Sections and options as oslo.config reads them; argument: map of maps */}}
{{- define "helm-toolkit.ini" -}}
{{- range $section, $options := . }}
[{{ $section }}]
{{- range $option, $value := $options }}
{{- if kindIs "slice" $value }}
{{ $option }} = {{ join "," $value }}
{{- else if and (kindIs "float64" $value) (eq (floor $value) $value) }}
{{ $option }} = {{ int64 $value }}
{{- else }}
{{ $option }} = {{ $value }}
{{- end }}
{{- end }}
{{ end }}
{{- end }}

{{/* The URL of a database of this chart's own; arguments: root, database */}}
{{- define "helm-toolkit.database" -}}
{{- $root := index . 0 -}}
{{- $auth := $root.Values.endpoints.oslo_db.auth -}}
mysql+pymysql://{{ $root.Chart.Name }}:{{ $auth.password }}@mariadb.{{ $root.Release.Namespace }}.svc.cluster.local:3306/{{ index . 1 }}?charset=utf8
{{- end }}

{{/* The URL of this chart's vhost, naming every member of the broker; argument: root */}}
{{- define "helm-toolkit.transport" -}}
{{- $root := . -}}
{{- $messaging := .Values.endpoints.oslo_messaging -}}
{{- $members := list -}}
{{- range $member := until (int $messaging.statefulset.replicas) -}}
{{- $members = append $members (printf "%s:%s@rabbitmq-rabbitmq-%d.rabbitmq.%s.svc.cluster.local:5672" $root.Chart.Name $messaging.auth.password $member $root.Release.Namespace) -}}
{{- end -}}
rabbit://{{ join "," $members }}/{{ .Chart.Name }}
{{- end }}

{{/* Every replica of memcached by its own name; argument: root */}}
{{- define "helm-toolkit.memcached" -}}
{{- $root := . -}}
{{- $servers := list -}}
{{- range $replica := until (int .Values.endpoints.oslo_cache.statefulset.replicas) -}}
{{- $servers = append $servers (printf "memcached-memcached-%d.memcached.%s.svc.cluster.local:11211" $replica $root.Release.Namespace) -}}
{{- end -}}
{{ join "," $servers }}
{{- end }}

{{/* What a service logs in to Keystone with, as YAML; argument: root */}}
{{- define "helm-toolkit.credentials" -}}
auth_type: password
auth_url: http://keystone-api.{{ .Release.Namespace }}.svc.cluster.local:5000/v3
region_name: RegionOne
username: {{ .Chart.Name }}
password: {{ .Values.endpoints.identity.auth.password }}
user_domain_name: default
project_name: service
project_domain_name: default
{{- end }}

{{/* A service's configuration: `conf`, over what all services say alike; arguments: root, conf */}}
{{- define "helm-toolkit.conf" -}}
{{- $root := index . 0 -}}
{{- $endpoints := $root.Values.endpoints -}}
{{- $credentials := fromYaml (include "helm-toolkit.credentials" $root) -}}
{{- $servers := include "helm-toolkit.memcached" $root -}}
{{- $key := $endpoints.oslo_cache.auth.memcache_secret_key | default (randAlphaNum 64) -}}
{{- $conf := dict
  "DEFAULT" (dict "use_stderr" true)
  "oslo_concurrency" (dict "lock_path" "/tmp")
  "oslo_middleware" (dict "enable_proxy_headers_parsing" true)
  "cache" (dict "enabled" true "backend" "dogpile.cache.memcached" "memcache_servers" $servers)
-}}
{{- range $section, $database := $endpoints.oslo_db.path -}}
{{- $_ := set $conf $section (dict "connection" (include "helm-toolkit.database" (list $root $database)) "connection_recycle_time" 600 "max_retries" -1) -}}
{{- end -}}
{{- if hasKey $endpoints "oslo_messaging" -}}
{{- $_ := set $conf.DEFAULT "transport_url" (include "helm-toolkit.transport" $root) -}}
{{- $_ := set $conf "oslo_messaging_rabbit" (dict "amqp_durable_queues" false "rabbit_quorum_queue" false "heartbeat_timeout_threshold" 60) -}}
{{- $_ := set $conf "oslo_messaging_notifications" (dict "driver" "noop") -}}
{{- end -}}
{{- if ne $root.Chart.Name "keystone" -}}
{{- $_ := set $conf "keystone_authtoken" (merge (dict
  "www_authenticate_uri" $credentials.auth_url
  "memcached_servers" $servers
  "memcache_security_strategy" "ENCRYPT"
  "memcache_secret_key" $key
  "service_token_roles" "service"
  "service_token_roles_required" true
  "service_type" $endpoints.identity.service_type
) $credentials) -}}
{{- range $section := $endpoints.identity.sections -}}
{{- $_ := set $conf $section (merge (dict "valid_interfaces" "internal") $credentials) -}}
{{- end -}}
{{- end -}}
{{- include "helm-toolkit.ini" (mergeOverwrite $conf (deepCopy (index . 1))) -}}
{{- end }}

{{/* What uWSGI runs an API with: `uwsgi`, over what all APIs say alike; arguments: module, port, uwsgi */}}
{{- define "helm-toolkit.uwsgi" -}}
{{- $uwsgi := dict
  "add-header" "Connection: close"
  "buffer-size" 65535
  "die-on-term" true
  "disable-logging" true
  "enable-threads" true
  "http-chunked-input" true
  "http-socket" (printf "0.0.0.0:%d" (int (index . 1)))
  "lazy-apps" true
  "master" true
  "module" (index . 0)
  "need-app" true
  "so-keepalive" true
  "socket-timeout" 10
  "stats" "0.0.0.0:1717"
  "stats-http" true
  "thunder-lock" true
  "virtualenv" "/var/lib/openstack"
  "worker-reload-mercy" 5
-}}
{{- include "helm-toolkit.ini" (dict "uwsgi" (mergeOverwrite $uwsgi (deepCopy (index . 2)))) -}}
{{- end }}
