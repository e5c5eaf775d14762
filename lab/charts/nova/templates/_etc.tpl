{{- define "nova.etc" -}}
nova.conf: |
{{ include "helm-toolkit.conf" (list . .Values.conf.nova) | indent 2 }}
nova-api-uwsgi.ini: |
{{ include "helm-toolkit.uwsgi" (list "nova.wsgi.osapi_compute:application" 8774 .Values.conf.nova_api_uwsgi.uwsgi) | indent 2 }}
{{- end }}

{{- define "nova.bin" -}}
{{- $auth := .Values.endpoints.oslo_db.auth -}}
db-sync.sh: |
  [ -e /tmp/migrated ] || nova-manage api_db sync
  nova-manage cell_v2 map_cell0 --database_connection '{{ include "helm-toolkit.database" (list . "nova_cell0") }}'
  nova-manage cell_v2 list_cells | grep -qw cell1 || nova-manage cell_v2 create_cell --name cell1
  [ -e /tmp/migrated ] || nova-manage db sync
cell-setup.sh: |
  # Map the hosts once all of them have registered.
  until python /opt/bin/computes.py; do sleep 2; done
  nova-manage cell_v2 discover_hosts --by-service --verbose
computes.py: |
  """Tell whether as many computes have registered as the cell is to have."""

  from cloud import service

  compute = service("compute")
  found = compute.get("/os-services?binary=nova-compute").json()["services"]
  print(f"{len(found)} of {{ .Values.bootstrap.computes }} computes have registered", flush=True)
  raise SystemExit(len(found) < {{ .Values.bootstrap.computes }})
bootstrap.py: |
  """Make the flavors."""

  from cloud import provide, service

  compute = service("compute")
  for name, size in {{ toJson .Values.bootstrap.flavors }}.items():
      provide(compute, "/flavors", "flavor", name=name, **size)
service.sh: |
  # Run one of Nova's services. When it is told to end, its record goes too: the pod that follows has another name.
  "$@" & child=$!
  trap 'kill -TERM $child; wait $child; exec python /opt/bin/forget-service.py' TERM
  wait $child
forget-service.py: |
  """Delete the record of the service on this host."""

  import socket

  from cloud import service

  compute = service("compute")
  for record in compute.get(f"/os-services?host={socket.gethostname()}").json()["services"]:
      compute.delete(f"/os-services/{record['id']}", microversion="2.53")
{{- end }}
