{{- /* Names and labels. The operator's names are fixed, not made from the release's: its Leases, its Services and what others
write into their settings go by them, so a namespace holds one hub and one site at most. */ -}}

{{- define "coalition.labels" -}}
app.kubernetes.io/name: coalition
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: coalition
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* Call with (list ROOT ROLE). Immutable in a Deployment: no version here. */ -}}
{{- define "coalition.selector" -}}
app.kubernetes.io/name: coalition
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* A cluster-scoped name, call with (list ROOT ROLE): releases in several namespaces must not meet. */ -}}
{{- define "coalition.clusterName" -}}
coalition-{{ index . 1 }}.{{ (index . 0).Release.Namespace }}
{{- end }}

{{- define "coalition.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* The trainer beside the operator, of the same version: what a site trains with unless its settings or a run say more. */ -}}
{{- define "coalition.trainerImage" -}}
{{ printf "%s/trainer:%s" (dir .Values.image.repository) .Chart.AppVersion }}
{{- end }}

{{- define "coalition.workerAccount" -}}
coalition-worker
{{- end }}

{{- /* site.yaml as the operator reads it: the settings, without what is left open: its own defaults hold then. */ -}}
{{- define "coalition.settings" -}}
{{- $s := deepCopy .Values.site.settings -}}
{{- $_ := set $s "image" ($s.image | default (include "coalition.trainerImage" .)) -}}
{{- range $s.namespaces -}}
{{- $_ := set . "serviceAccount" (.serviceAccount | default (include "coalition.workerAccount" $)) -}}
{{- end -}}
{{- range $key := list "worker" "store" "exchange" "gateway" -}}
{{- $part := get $s $key -}}
{{- range $name, $value := $part -}}
{{- if not $value }}{{ $_ := unset $part $name }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if .Values.site.exchange.tokenSecretName }}{{ $_ := set $s.exchange "tokenSecretName" .Values.site.exchange.tokenSecretName }}{{ end -}}
{{- range $key, $value := $s -}}
{{- if not $value }}{{ $_ := unset $s $key }}{{ end -}}
{{- end -}}
{{- toYaml $s -}}
{{- end }}

{{- /* The distinct namespaces of workers, as {"namespaces": {NAME: {SERVICEACCOUNT: true}}}, for fromJson. */ -}}
{{- define "coalition.workerNamespaces" -}}
{{- $found := dict -}}
{{- range .Values.site.settings.namespaces -}}
{{- $accounts := get $found .site | default dict -}}
{{- $_ := set $accounts (.serviceAccount | default (include "coalition.workerAccount" $)) true -}}
{{- $_ := set $found .site $accounts -}}
{{- end -}}
{{- dict "namespaces" $found | toJson -}}
{{- end }}

{{- /* "true" if the hub's API server is that of this cluster. */ -}}
{{- define "coalition.sameCluster" -}}
{{- if not .Values.site.hub.kubeconfigSecretName }}true{{ end -}}
{{- end }}
