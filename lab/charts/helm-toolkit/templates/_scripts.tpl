{{/* The files that every service's ConfigMap CHART-bin has; argument: root */}}
{{- define "helm-toolkit.scripts" -}}
db-init.py: |
  """Make this service's databases and the user that owns them; what is there stays.

  A database that is new gets the schema that the image has of it, which the service's own migrations made. Where all of
  them did, there is nothing to migrate: the file /tmp/migrated says so.
  """

  import os
  import pathlib
  import pymysql
  from urllib.parse import urlsplit

  admin = urlsplit(os.environ["DB_CONNECTION"])
  connection = pymysql.connect(
      host=admin.hostname, port=admin.port, user=admin.username, password=admin.password, connect_timeout=10,
      client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS, autocommit=True,
  )
  migrated = True
  with connection.cursor() as cursor:
      cursor.execute("CREATE USER IF NOT EXISTS '{{ .Chart.Name }}'@'%%' IDENTIFIED BY %s", ("{{ .Values.endpoints.oslo_db.auth.password }}",))
      for database in {{ toJson .Values.endpoints.oslo_db.databases }}:
          cursor.execute(f"CREATE DATABASE IF NOT EXISTS {database} CHARACTER SET utf8mb3")
          cursor.execute(f"GRANT ALL ON {database}.* TO '{{ .Chart.Name }}'@'%'")
          file = pathlib.Path("/usr/local/share/openstack-schema", f"{database}.sql")
          schema = file.read_text() if file.exists() else ""
          cursor.execute("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = %s", (database,))
          found = cursor.fetchone()[0]
          if found >= schema.count("CREATE TABLE"):
              migrated = False
              continue
          cursor.execute(f"USE {database}")
          if found:  # a pod ended in the middle of this
              cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (database,))
              names = ", ".join(f"`{name}`" for name, in cursor.fetchall())
              schema = f"SET foreign_key_checks = 0; DROP TABLE {names}; SET foreign_key_checks = 1;\n{schema}"
          cursor.execute(schema)
          while cursor.nextset():
              pass
          print(f"{database} has the schema of the image", flush=True)
  if migrated:
      pathlib.Path("/tmp/migrated").touch()
cloud.py: |
  """The cloud, as the administrator whose credentials stand in the environment."""

  import os
  from keystoneauth1.adapter import Adapter
  from keystoneauth1.identity.v3 import Password
  from keystoneauth1.session import Session

  session = Session(
      Password(**{
          option: os.environ[f"OS_{option.upper()}"]
          for option in ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
      }),
      timeout=60,
  )


  def service(kind):
      """Return the API of this type, at its internal endpoint."""
      return Adapter(session, service_type=kind, interface="internal", region_name=os.environ["OS_REGION_NAME"], connect_retries=30, status_code_retries=5)


  def find(api, path, plural, **wanted):
      """Return the first object of a list that has these properties, or None."""
      listed = api.get(path).json()[plural]
      return next((item for item in listed if all(item.get(name) == value for name, value in wanted.items())), None)


  def provide(api, path, kind, plural=None, *, known_by=("name",), **properties):
      """Return the object with these properties, made if it is not there; a list is searched by `known_by`."""
      plural = plural or f"{kind}s"
      wanted = {name: properties[name] for name in known_by}
      found = find(api, path, plural, **wanted)
      if found is None:
          answer = api.post(path, json={kind: properties}, raise_exc=False)
          if answer.status_code == 409:  # another Job was quicker
              return find(api, path, plural, **wanted)
          answer.raise_for_status()
          found = answer.json()[kind]
          print(f"made {kind} {' '.join(map(str, wanted.values()))}", flush=True)
      return found
ks-endpoints.py: |
  """Make this service, its endpoints and its user known to Keystone."""

  from cloud import provide, service

  identity = service("identity")
  project = provide(identity, "/projects", "project", name="service", domain_id="default")
  user = provide(identity, "/users", "user", name="{{ .Chart.Name }}", domain_id="default", password="{{ .Values.endpoints.identity.auth.password }}")
  for name in ("admin", "service"):
      role = provide(identity, "/roles", "role", name=name)
      identity.put(f"/projects/{project['id']}/users/{user['id']}/roles/{role['id']}")
  {{- with .Values.endpoints.identity.service }}
  kind = provide(identity, "/services", "service", name="{{ .name }}", type="{{ .type }}")
  internal = "http://{{ .host }}.{{ $.Release.Namespace }}.svc.cluster.local:{{ .port }}{{ .path }}"
  public = "{{ $.Values.endpoints.public }}:{{ .port }}{{ .path }}"
  for interface, url in (("internal", internal), ("admin", internal), ("public", public)):
      provide(identity, "/endpoints", "endpoint", known_by=("service_id", "interface"), service_id=kind["id"], interface=interface, url=url, region_id="RegionOne")
  {{- end }}
{{- end }}

{{/* The ConfigMap CHART-bin: the files above and the chart's own; arguments: root, YAML of the chart's own files */}}
{{- define "helm-toolkit.bin" -}}
{{- $root := index . 0 -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $root.Chart.Name }}-bin
  namespace: {{ $root.Release.Namespace }}
data:
{{- range $file, $text := merge (fromYaml (index . 1)) (fromYaml (include "helm-toolkit.scripts" $root)) }}
  {{ $file }}: |
{{ $text | indent 4 }}
{{- end }}
{{- end }}
