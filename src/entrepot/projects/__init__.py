"""Projects: the tenants above repositories."""
