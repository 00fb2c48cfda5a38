"""Where bytes end. Reached by name through ``storage.open``."""
