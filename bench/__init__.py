"""The bench: Entrepôt beside Debian's docker-registry and nginx, as ratios from one run."""
