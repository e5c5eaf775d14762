{{- define "neutron.etc" -}}
neutron.conf: |
{{ include "helm-toolkit.conf" (list . .Values.conf.neutron) | indent 2 }}
ml2_conf.ini: |
{{ include "helm-toolkit.ini" .Values.conf.plugins.ml2_conf | indent 2 }}
neutron-api-uwsgi.ini: |
{{ include "helm-toolkit.uwsgi" (list "neutron.wsgi.api:application" 9696 .Values.conf.neutron_api_uwsgi.uwsgi) | indent 2 }}
{{- end }}

{{- define "neutron.bin" -}}
db-sync.sh: |
  [ -e /tmp/migrated ] || neutron-db-manage --config-file /etc/neutron/neutron.conf --config-file /etc/neutron/ml2_conf.ini upgrade heads
bootstrap.py: |
  """Make the network that every project shares."""

  from cloud import provide, service

  network = service("network")
  name, cidr = "{{ .Values.bootstrap.network.name }}", "{{ .Values.bootstrap.network.cidr }}"
  made = provide(network, "/v2.0/networks", "network", name=name, shared=True)
  provide(network, "/v2.0/subnets", "subnet", name=name, network_id=made["id"], ip_version=4, cidr=cidr, gateway_ip=None, enable_dhcp=False)
{{- end }}
