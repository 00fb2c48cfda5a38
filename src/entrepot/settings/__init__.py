"""Settings that change at run time, in Harbor's vocabulary."""
