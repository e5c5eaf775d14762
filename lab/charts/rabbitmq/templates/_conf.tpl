{{/* Nested maps as the dotted keys of rabbitmq.conf; arguments: prefix, map */}}
{{- define "rabbitmq.conf" -}}
{{- $prefix := index . 0 -}}
{{- range $key, $value := index . 1 }}
{{- $name := ternary $key (printf "%s.%s" $prefix $key) (eq $prefix "") }}
{{- if kindIs "map" $value }}
{{- include "rabbitmq.conf" (list $name $value) }}
{{- else }}
{{ $name }} = {{ if kindIs "float64" $value }}{{ $value | toString }}{{ else }}{{ $value }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
