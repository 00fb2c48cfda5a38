"""Every statement of this slice, one module a noun. The tables stand in ``tables.py``."""
