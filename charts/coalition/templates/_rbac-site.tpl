{{- /* What the site role may do. operator/docs/rbac.md says why for each; e2e/charts tests hold it down. */ -}}

{{- /* In the whole cluster: counting what is free needs all nodes and all pods. Reading only. */ -}}
{{- define "coalition.site.clusterRules" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
# The keys by which tokens of worker pods are checked offline.
- nonResourceURLs: [/openid/v1/jwks, /.well-known/openid-configuration, /version]
  verbs: [get]
{{- end }}

{{- /* In its own namespace. */ -}}
{{- define "coalition.site.ownRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [coalition-site]
  verbs: [get, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
{{- end }}

{{- /* In each namespace of workers that the settings list, and in no other. */ -}}
{{- define "coalition.site.workerRules" -}}
- apiGroups: [coalition.training]
  resources: [gangs]
  verbs: [get, list, watch, create, update, delete]
# One PUT with the version that was seen: no patch.
- apiGroups: [coalition.training]
  resources: [gangs/status]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
# Tokens of attempts, by the names that Gangs give. It can list none.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* At the hub, in the site's own namespace there: all that a site can do at a hub, but for the histories of its runs, which
the hub opens to it one by one. */ -}}
{{- define "coalition.site.hubRules" -}}
- apiGroups: [coalition.training]
  resources: [siteruns]
  verbs: [list, watch]
- apiGroups: [coalition.training]
  resources: [sitereports]
  verbs: [get, create, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [site]
  verbs: [get, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
{{- end }}

{{- /* Where hub and site share a cluster: the one identity that the site role may take there. */ -}}
{{- define "coalition.site.tokenRules" -}}
- apiGroups: [""]
  resources: [serviceaccounts/token]
  resourceNames: [site]
  verbs: [create]
{{- end }}
