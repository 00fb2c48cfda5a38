"""The self-assessment: a list of weaknesses that a running installation is checked for."""
