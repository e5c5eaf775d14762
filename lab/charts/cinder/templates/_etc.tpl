{{- define "cinder.etc" -}}
cinder.conf: |
{{ include "helm-toolkit.conf" (list . .Values.conf.cinder) | indent 2 }}
cinder-api-uwsgi.ini: |
{{ include "helm-toolkit.uwsgi" (list "cinder.wsgi.api:application" 8776 .Values.conf.cinder_api_uwsgi.uwsgi) | indent 2 }}
{{- end }}

{{- define "cinder.bin" -}}
db-sync.sh: |
  [ -e /tmp/migrated ] || cinder-manage db sync
{{- end }}
