{{- /* Parts of the network policies. */ -}}

{{- /* Namespaces by their own name. */ -}}
{{- define "coalition.net.namespace" -}}
namespaceSelector:
  matchLabels: {kubernetes.io/metadata.name: {{ . }}}
{{- end }}

{{- /* Pods of workers, whatever their run. */ -}}
{{- define "coalition.net.workers" -}}
matchExpressions:
- {key: coalition.training/run, operator: Exists}
{{- end }}

{{- /* The ports of the store: those of the values, else that of its endpoint. */ -}}
{{- define "coalition.net.storePorts" -}}
{{- $ports := .Values.networkPolicy.storePorts -}}
{{- if not $ports -}}
{{- $endpoint := .Values.site.settings.store.endpoint -}}
{{- $at := regexFind ":[0-9]+$" (trimSuffix "/" $endpoint) | trimPrefix ":" -}}
{{- $ports = list (int (default (ternary 80 443 (hasPrefix "http://" $endpoint)) $at)) -}}
{{- end -}}
{{- range $ports }}
- {protocol: TCP, port: {{ int . }}}
{{- end -}}
{{- end }}
