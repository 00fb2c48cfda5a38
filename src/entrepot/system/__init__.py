"""Whether the system is well: liveness, readiness, metrics."""
