{{- define "ironic.etc" -}}
ironic.conf: |
{{ include "helm-toolkit.conf" (list . .Values.conf.ironic) | indent 2 }}
ironic-api-uwsgi.ini: |
{{ include "helm-toolkit.uwsgi" (list "ironic.wsgi:application" 6385 .Values.conf.ironic_api_uwsgi.uwsgi) | indent 2 }}
{{- end }}

{{- define "ironic.bin" -}}
db-sync.sh: |
  [ -e /tmp/migrated ] || ironic-dbsync --config-file /etc/ironic/ironic.conf upgrade
bootstrap.py: |
  """Enroll nodes of the fake hardware and make them available."""

  import time

  from cloud import service

  baremetal = service("baremetal")
  baremetal.default_microversion = "1.82"
  for name in {{ toJson .Values.bootstrap.nodes }}:
      if baremetal.get(f"/v1/nodes/{name}", raise_exc=False).status_code == 404:
          baremetal.post("/v1/nodes", json={"name": name, "driver": "fake-hardware", "resource_class": "baremetal"})
      for target, state in (("manage", "manageable"), ("provide", "available")):
          for _ in range(120):
              found = baremetal.get(f"/v1/nodes/{name}").json()["provision_state"]
              if found in (state, "available", "active"):
                  break
              # A conductor that has just come, or holds the node, refuses: it is asked again.
              baremetal.put(f"/v1/nodes/{name}/states/provision", json={"target": target}, raise_exc=False)
              time.sleep(1)
          else:
              raise SystemExit(f"{name} is {found}, not {state}")
      print(f"node {name} is {found}", flush=True)
{{- end }}

{{/* What a conductor and dnsmasq share; arguments: none */}}
{{- define "ironic.dnsmasqVolumes" -}}
- {name: dnsmasq-ironic, persistentVolumeClaim: {claimName: dnsmasq-ironic}}
- {name: dnsmasq-dhcp, persistentVolumeClaim: {claimName: dnsmasq-dhcp}}
{{- end }}
