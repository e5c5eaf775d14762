{{- define "keystone.etc" -}}
keystone.conf: |
{{ include "helm-toolkit.conf" (list . .Values.conf.keystone) | indent 2 }}
keystone-api-uwsgi.ini: |
{{ include "helm-toolkit.uwsgi" (list "keystone.wsgi.api:application" 5000 .Values.conf.keystone_api_uwsgi.uwsgi) | indent 2 }}
{{- end }}

{{- define "keystone.bin" -}}
db-sync.sh: |
  [ -e /tmp/migrated ] || keystone-manage db_sync
  internal=http://keystone-api.{{ .Release.Namespace }}.svc.cluster.local:5000/v3
  keystone-manage bootstrap --bootstrap-username {{ .Values.endpoints.identity.admin.username }} \
    --bootstrap-password {{ .Values.endpoints.identity.admin.password }} --bootstrap-region-id RegionOne \
    --bootstrap-internal-url $internal --bootstrap-admin-url $internal \
    --bootstrap-public-url {{ .Values.endpoints.public }}:5000/v3
bootstrap.py: |
  """Make the tenant that the lab's users are in, and an identity provider that nobody comes from."""

  from cloud import provide, service

  identity = service("identity")
  name, password = "{{ .Values.bootstrap.project }}", "{{ .Values.bootstrap.password }}"
  project = provide(identity, "/projects", "project", name=name, domain_id="default")
  user = provide(identity, "/users", "user", name=name, domain_id="default", password=password)
  role = provide(identity, "/roles", "role", name="member")
  identity.put(f"/projects/{project['id']}/users/{user['id']}/roles/{role['id']}")

  who = {"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "HTTP_OIDC_SUB"}]}
  for path, kind, body in (
      ("mappings/campus", "mapping", {"rules": [who]}),
      ("identity_providers/campus", "identity_provider", {"enabled": True, "domain_id": "default"}),
      ("identity_providers/campus/protocols/openid", "protocol", {"mapping_id": "campus"}),
  ):
      answer = identity.put(f"/OS-FEDERATION/{path}", json={kind: body}, raise_exc=False)
      if answer.status_code != 409:  # it is there already
          answer.raise_for_status()
{{- end }}

{{- define "keystone.keyMounts" -}}
- {name: fernet-keys, mountPath: /etc/keystone/fernet-keys, readOnly: true}
- {name: credential-keys, mountPath: /etc/keystone/credential-keys, readOnly: true}
{{- end }}

{{- define "keystone.keyVolumes" -}}
- {name: fernet-keys, secret: {secretName: keystone-fernet-keys}}
- {name: credential-keys, secret: {secretName: keystone-credential-keys}}
{{- end }}
