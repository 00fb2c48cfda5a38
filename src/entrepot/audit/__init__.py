"""The audit log: what the journal tells about who did what."""
