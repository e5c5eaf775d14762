{{- define "seatrial.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* 52 letters: a CronJob adds eleven to its name for each Job. */ -}}

{{- define "seatrial.labels" -}}
app.kubernetes.io/name: seatrial
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "seatrial.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "seatrial.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name one, or let the chart create it (serviceAccount.create)" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}
