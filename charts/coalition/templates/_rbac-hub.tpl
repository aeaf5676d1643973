{{- /* What the hub role may do. operator/docs/security.md says why for each; e2e/charts tests hold it down. */ -}}

{{- /* In all namespaces, for runs may be in any. */ -}}
{{- define "coalition.hub.clusterRules" -}}
- apiGroups: [coalition.training]
  resources: [trainingruns]
  verbs: [get, list, watch, patch]
- apiGroups: [coalition.training]
  resources: [checkpointpolicies, sites]
  verbs: [list, watch]
# Removed with the request that they answer.
- apiGroups: [coalition.training]
  resources: [sitereports]
  verbs: [list, watch, delete]
- apiGroups: [coalition.training]
  resources: [siteruns, checkpoints]
  verbs: [list, watch, create, patch, delete]
# By PUT with a resourceVersion only: no patch. It watches none: it lends members of a run the right to.
- apiGroups: [coalition.training]
  resources: [runhistories]
  verbs: [get, list, watch, create, update]
- apiGroups: [coalition.training]
  resources: [trainingruns/status, checkpoints/status, sites/status]
  verbs: [patch]
# Where the API server asks for it before an owner reference is set.
- apiGroups: [coalition.training]
  resources: [trainingruns/finalizers]
  verbs: [update]
# Signs of life of sites.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [list, watch]
# Lets each member read the history of its run, by name. The API server refuses it what it does not hold itself, and
# templates/hub/admission.yaml holds it to just that.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* In its own namespace. `create` cannot be bound to a name: the object has none yet. */ -}}
{{- define "coalition.hub.ownRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [coalition-hub]
  verbs: [get, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
# What it must remember of a run besides the history: one ConfigMap for each TrainingRun, named after it, so no name is known
# before. templates/hub/admission.yaml holds it to those.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
# The key that signs records, made once.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [coalition-hub-key]
  verbs: [get]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
{{- end }}
