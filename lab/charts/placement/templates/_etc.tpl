{{- define "placement.etc" -}}
placement.conf: |
{{ include "helm-toolkit.conf" (list . .Values.conf.placement) | indent 2 }}
placement-api-uwsgi.ini: |
{{ include "helm-toolkit.uwsgi" (list "placement.wsgi.api:application" 8778 .Values.conf.placement_api_uwsgi.uwsgi) | indent 2 }}
{{- end }}

{{- define "placement.bin" -}}
db-sync.sh: |
  [ -e /tmp/migrated ] || placement-manage db sync
{{- end }}
