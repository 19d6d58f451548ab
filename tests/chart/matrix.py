"""Values that the chart is rendered with: what ships, every switch, and everything at once."""

from tests.chart.rendering import EXAMPLES

DIGEST = "sha256:" + "0123456789abcdef" * 4

_EVERYTHING = (
    "--set=tracing.otlpEndpoint=http://collector.observability:4317",
    "--set=tracing.headersSecret.name=collector",
    "--set=tracing.resourceAttributes.deployment\\.environment=lab",
    "--set=priorityClasses.create=true",
    "--set=resourceQuota.hard.requests\\.nvidia\\.com/gpu=8",
    "--set=metrics.podMonitor.enabled=true",
    "--set=metrics.dashboards.enabled=true",
    "--set=metrics.alerts.enabled=true",
    "--set=execution.runtimeClass.create=true",
    "--set=execution.runtimeClass.scheduling.nodeSelector.sandbox=gvisor",
    "--set=execution.autoscaling.enabled=true",
    "--set=reward.autoscaling.enabled=true",
    "--set=models.volume.persistentVolumeClaim.claimName=models",
    "--set=models.cacheVolume.persistentVolumeClaim.claimName=cache",
    "--set=models.hubTokenSecret.name=hub",
    "--set=networkPolicy.modelHub.enabled=true",
    "--set=global.imagePullSecrets[0].name=registry",
    "--set=commonLabels.team=research",
    "--set=podAnnotations.note=all",
    "--set=buffer.podAnnotations.note=own",
    "--set=runsVolume.storageClassName=shared",
    "--set=postgresql.storage.storageClassName=fast",
    "--set=postgresql.settings.max_connections=1000000",
    "--set=inference.schedulerName=gang",
    "--set=inference.settings.kv_cache_mib=1000000",
    "--set=controller.extraEnv[0].name=HOME",
    "--set=controller.extraEnv[0].value=/elsewhere",
    "--set=controller.extraVolumes[0].name=code",
    "--set=controller.extraVolumes[0].persistentVolumeClaim.claimName=code",
    "--set=controller.extraVolumeMounts[0].name=code",
    "--set=controller.extraVolumeMounts[0].mountPath=/app",
)

_OWN_SECRETS = (
    "--set=auth.existingSecret=our-token",
    "--set=auth.existingSecretKey=value",
    "--set=tls.mode=existingSecret,tls.existingSecret=our-tls",
    "--set=postgresql.enabled=false",
    "--set=database.existingSecret=our-database",
    "--set=database.existingSecretKey=address",
    "--set=runsVolume.existingClaim=our-runs",
)

_OWN_ACCOUNTS = tuple(
    f"--set={block}.serviceAccount.create=false,{block}.serviceAccount.name=ours"
    for block in (
        *("controller", "buffer", "reward", "execution", "inference", "training", "postgresql"),
    )
)

CASES: dict[str, tuple[str, ...]] = {
    "defaults": (),
    **{path.stem: (f"--values={path}",) for path in EXAMPLES},
    "everything": _EVERYTHING,
    "own secrets and claims": _OWN_SECRETS,
    "own accounts": _OWN_ACCOUNTS,
    "digests": tuple(
        f"--set={image}.digest={DIGEST}"
        for image in ("image.services", "image.engine", "postgresql.image")
    ),
    "a mirror": ("--set=global.imageRegistry=mirror.lab:5000",),
    "users by the platform": (
        "--set=podSecurityContext.runAsUser=0,podSecurityContext.runAsGroup=0",
        "--set=podSecurityContext.fsGroup=0",
    ),
    "accounts of the cluster": (
        *("--set=auth.mode=kubernetes", "--set=auth.users[0].kind=Group"),
        *("--set=auth.users[0].name=researchers", "--set=tracing.otlpEndpoint=http://c:4317"),
        "--set=auth.users[0].apiGroup=rbac.authorization.k8s.io",
    ),
    "cert-manager": ("--set=tls.mode=certManager",),
    "cert-manager's issuer": (
        "--set=tls.mode=certManager,tls.certManager.issuerRef.name=lab",
        "--set=tls.certManager.issuerRef.kind=ClusterIssuer",
    ),
    "a bucket": ("--set=weights.store=s3://bucket/weights",),
    "a bucket of our own": (
        *("--set=weights.store=s3://bucket/weights", "--set=weights.credentials.existingSecret=w"),
        *("--set=weights.credentials.readerSecret=r", "--set=weights.s3.region=lab-1"),
        "--set=weights.s3.endpoint=https://s3.lab:9000",
        "--set=weights.scratchVolume.emptyDir.sizeLimit=200Gi",
    ),
    "a bucket of Google's": (
        "--set=weights.store=gs://bucket/weights",
        "--set=weights.credentials.existingSecret=w",
    ),
    "no certificates": ("--set=tls.mode=insecure",),
    "no controller": ("--set=controller.enabled=false",),
    "no buffer": ("--set=buffer.enabled=false", "--set=targets.buffer=dns:///buffer.a:50051"),
    "no reward": ("--set=reward.enabled=false", "--set=targets.reward=dns:///reward.a:50051"),
    "no execution": (
        "--set=execution.enabled=false",
        "--set=targets.execution=dns:///execution.a:50051",
    ),
    "no database": ("--set=postgresql.enabled=false", "--set=database.existingSecret=our-database"),
    "no CRD": ("--set=crds.enabled=false",),
    "no policies": ("--set=networkPolicy.enabled=false",),
    "no migrations": ("--set=migrations.enabled=false",),
    "no test": ("--set=test.enabled=false",),
    "engines by KServe": ("--set=inference.backend=kserve",),
    "trainers by JobSet": ("--set=training.backend=jobset",),
    "trainers by Kubeflow": ("--set=training.backend=trainjob",),
    "no metrics": ("--set=metrics.enabled=false",),
    "no budget": ("--set=inference.podDisruptionBudget.enabled=false",),
    "execution alone": tuple(
        f"--set={block}.enabled=false" for block in ("controller", "buffer", "reward", "postgresql")
    ),
}

BROUGHT = {
    *("our-token", "our-database", "our-runs", "registry", "collector", "hub", "our-tls"),
    *("models", "cache", "code", "zeroloop-database-url", "ours", "default"),
    *("w", "r"),
    "loop-zeroloop-tls",  # cert-manager makes it
}
"""Names of Secrets, claims and accounts that these values say exist."""
