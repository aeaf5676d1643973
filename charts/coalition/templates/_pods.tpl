{{- /* What both Deployments have in common. Call with (dict "root" ROOT "role" ROLE "roles" ROLES "values" VALUES). */ -}}

{{- define "coalition.deployment" -}}
{{- $root := .root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: coalition-{{ .role }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "coalition.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  replicas: {{ .values.replicas }}
  # One more before one less: a standby is always warm when the leader goes.
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  selector:
    matchLabels:
      {{- include "coalition.selector" (list $root .role) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "coalition.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .role }}
      {{- with .annotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: coalition-{{ .role }}
      automountServiceAccountToken: true
      enableServiceLinks: false
      # Long enough to end a write to the store and to give the leases back; the operator itself leaves within seconds.
      terminationGracePeriodSeconds: 30
      {{- with .values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: ScheduleAnyway
        labelSelector:
          matchLabels:
            {{- include "coalition.selector" (list $root .role) | nindent 12 }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
      containers:
      - name: operator
        image: {{ include "coalition.image" $root | quote }}
        imagePullPolicy: {{ $root.Values.image.pullPolicy }}
        args:
        - --roles={{ .roles }}
        - --listen=0.0.0.0:8080
        - --log-format={{ $root.Values.log.format }}
        {{- range .args }}
        - {{ . }}
        {{- end }}
        env:
        - name: POD_NAMESPACE
          valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: POD_IP
          valueFrom: {fieldRef: {fieldPath: status.podIP}}
        {{- with $root.Values.log.filter }}
        - name: RUST_LOG
          value: {{ . | quote }}
        {{- end }}
        {{- with .env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        ports:
        - {name: http, containerPort: 8080}
        {{- range .ports }}
        - {name: {{ .name }}, containerPort: {{ .port }}}
        {{- end }}
        # Ready means that all watches have synced: a standby is ready too.
        readinessProbe:
          httpGet: {path: /readyz, port: http}
          periodSeconds: 5
        # Only whether the process turns. Half a minute of silence is no busy moment any more.
        livenessProbe:
          httpGet: {path: /livez, port: http}
          periodSeconds: 10
          failureThreshold: 3
        resources:
          {{- toYaml .values.resources | nindent 10 }}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
        {{- with .mounts }}
        volumeMounts:
          {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .volumes }}
      volumes:
        {{- toYaml . | nindent 6 }}
      {{- end }}
{{- end }}

{{- /* At most one of a Deployment's pods is taken away at a time by a drain. */ -}}
{{- define "coalition.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: coalition-{{ .role }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "coalition.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "coalition.selector" (list .root .role) | nindent 6 }}
{{- end }}

{{- /* The identity of a Deployment's pods. */ -}}
{{- define "coalition.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: coalition-{{ .role }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "coalition.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
# The operator's pods ask for the token themselves; no other pod that takes this account gets it unasked.
automountServiceAccountToken: false
{{- end }}
