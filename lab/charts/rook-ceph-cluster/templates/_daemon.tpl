{{/* Labels that rook gives to a daemon; arguments: type, id, the name of the id's label */}}
{{- define "ceph.labels" -}}
app: rook-ceph-{{ index . 0 }}
ceph_daemon_id: {{ index . 1 | quote }}
ceph_daemon_type: {{ index . 0 }}
rook_cluster: rook-ceph
{{ index . 2 }}: {{ index . 1 | quote }}
app.kubernetes.io/name: ceph-{{ index . 0 }}
app.kubernetes.io/instance: {{ index . 1 | quote }}
app.kubernetes.io/part-of: rook-ceph
{{- end }}

{{/* Environment of every daemon */}}
{{- define "ceph.env" -}}
- name: POD_IP
  valueFrom: {fieldRef: {apiVersion: v1, fieldPath: status.podIP}}
- name: NODE_NAME
  valueFrom: {fieldRef: {apiVersion: v1, fieldPath: spec.nodeName}}
- name: ROOK_CEPH_FSID
  valueFrom: {secretKeyRef: {name: rook-ceph-mon, key: fsid}}
- name: ROOK_CEPH_MON_HOST
  valueFrom: {secretKeyRef: {name: rook-ceph-config, key: mon_host}}
- name: ROOK_CEPH_MON_INITIAL_MEMBERS
  valueFrom: {secretKeyRef: {name: rook-ceph-config, key: mon_initial_members}}
- {name: CEPH_ARGS, value: "--fsid=$(ROOK_CEPH_FSID) --mon-host=$(ROOK_CEPH_MON_HOST) --keyring=/etc/ceph/keyring-store/keyring"}
{{- end }}

{{/* Flags of every daemon, as rook passes them; argument: id */}}
{{- define "ceph.flags" -}}
- --foreground
- --id={{ . }}
- --setuser=ceph
- --setgroup=ceph
- --default-log-to-stderr=true
- --default-err-to-stderr=true
- --default-log-to-file=false
- --default-mon-cluster-log-to-file=false
- --default-mon-cluster-log-to-stderr=true
- "--default-log-stderr-prefix=debug "
{{- end }}

{{- define "ceph.mounts" -}}
- {name: rook-config-override, mountPath: /etc/ceph/ceph.conf, subPath: ceph.conf, readOnly: true}
- {name: keyring, mountPath: /etc/ceph/keyring-store, readOnly: true}
- {name: bin, mountPath: /opt/rook, readOnly: true}
- {name: crash, mountPath: /var/lib/ceph/crash}
{{- end }}

{{/* argument: root */}}
{{- define "ceph.volumes" -}}
- name: rook-config-override
  configMap: {name: rook-config-override, items: [{key: config, path: ceph.conf}]}
- name: keyring
  secret: {secretName: rook-ceph-mons-keyring}
- name: bin
  configMap: {name: rook-ceph-daemon-bin, defaultMode: 0555}
- name: crash
  hostPath: {path: {{ .Values.dataDirHostPath }}/rook-ceph/crash, type: DirectoryOrCreate}
{{- end }}
