{{- /* What a schema cannot say: rules between values. Each names the value, the bound and the way out. */ -}}

{{- define "coalition.refuse" -}}
{{- if not (or .Values.hub.enabled .Values.site.enabled) }}
{{- fail "hub.enabled and site.enabled are both false: nothing would be installed; enable one of them" }}
{{- end }}
{{- if .Values.hub.enabled }}
{{- include "coalition.refuse.sites" . }}
{{- end }}
{{- if .Values.site.enabled }}
{{- include "coalition.refuse.hub" . }}
{{- include "coalition.refuse.store" . }}
{{- include "coalition.refuse.lists" . }}
{{- end }}
{{- end }}

{{- define "coalition.refuse.sites" -}}
{{- $seen := dict }}
{{- range $i, $site := .Values.hub.sites }}
{{- if hasKey $seen $site.name }}
{{- fail (printf "hub.sites[%d].name: %q stands there twice; give every site a name of its own" $i $site.name) }}
{{- end }}
{{- $_ := set $seen $site.name true }}
{{- if eq (printf "site-%s" $site.name) $.Release.Namespace }}
{{- fail (printf "hub.sites[%d].name: %q has the namespace site-%s at the hub, into which this release is installed; install it into another, such as coalition-system" $i $site.name $site.name) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "coalition.refuse.hub" -}}
{{- $site := .Values.site.settings.name }}
{{- if and .Values.site.hub.kubeconfigSecretName .Values.site.hub.sameCluster }}
{{- fail (printf "site.hub.sameCluster is true and site.hub.kubeconfigSecretName is %q: the hub is in this cluster or behind a kubeconfig; set one of them" .Values.site.hub.kubeconfigSecretName) }}
{{- end }}
{{- if not .Values.site.hub.kubeconfigSecretName }}
{{- if .Values.hub.enabled }}
{{- $names := list }}
{{- range .Values.hub.sites }}{{ $names = append $names .name }}{{ end }}
{{- if not (has $site $names) }}
{{- fail (printf "site.settings.name: %q is not among hub.sites (%s): the hub would not know this site; add {name: %s} to hub.sites, or set site.hub.kubeconfigSecretName if its hub is another one" $site (join ", " $names) $site) }}
{{- end }}
{{- else if not .Values.site.hub.sameCluster }}
{{- fail "site.enabled without hub.enabled, and no word of where the hub is: set site.hub.kubeconfigSecretName to a Secret of this namespace with the key `kubeconfig`, or site.hub.sameCluster=true if another release runs the hub in this cluster" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "coalition.refuse.store" -}}
{{- $store := .Values.site.settings.store }}
{{- if not $store.url }}
{{- fail "site.settings.store.url is empty: say where this site keeps its checkpoints, such as s3://BUCKET/PREFIX (and site.settings.store.endpoint for a server that is not AWS), or set site.enabled=false" }}
{{- end }}
{{- if and (hasPrefix "http://" $store.endpoint) (not $store.plainHttp) }}
{{- fail (printf "site.settings.store.endpoint: %q is plain HTTP: keys and checkpoints could be read on the way; use https://, or set site.settings.store.plainHttp=true in a network that nobody else is on" $store.endpoint) }}
{{- end }}
{{- end }}

{{- define "coalition.refuse.lists" -}}
{{- if not .Values.site.settings.namespaces }}
{{- fail "site.settings.namespaces is empty: this site would take nobody's runs; list at least one as {hub: NAME, site: NAME}: a namespace of TrainingRuns at the hub and the one here in which their workers run" }}
{{- end }}
{{- if and .Values.site.settings.exchange.endpoint (not .Values.site.exchange.tokenSecretName) }}
{{- fail (printf "site.settings.exchange.endpoint is %q without site.exchange.tokenSecretName: everybody could fetch; name a Secret of this namespace whose key `token` all sites share" .Values.site.settings.exchange.endpoint) }}
{{- end }}
{{- $seen := dict }}
{{- range $i, $pair := .Values.site.settings.namespaces }}
{{- if hasKey $seen $pair.hub }}
{{- fail (printf "site.settings.namespaces[%d].hub: %q stands there twice; one namespace of the hub goes to one namespace here" $i $pair.hub) }}
{{- end }}
{{- $_ := set $seen $pair.hub true }}
{{- if eq $pair.site $.Release.Namespace }}
{{- fail (printf "site.settings.namespaces[%d].site: %q is the operator's own namespace, where its keys lie; let workers run in another" $i $pair.site) }}
{{- end }}
{{- end }}
{{- $names := dict }}
{{- range $i, $set := .Values.site.settings.datasets }}
{{- if hasKey $names $set.name }}
{{- fail (printf "site.settings.datasets[%d].name: %q stands there twice; runs name data sets by it" $i $set.name) }}
{{- end }}
{{- $_ := set $names $set.name true }}
{{- end }}
{{- end }}
