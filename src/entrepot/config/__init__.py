"""The configuration: one typed description, read from a TOML file with ``ENTREPOT_`` variables over it."""

from entrepot.config.load import PREFIX, check_certificate, load, variables
from entrepot.config.schema import Config
from entrepot.config.sections import Log, Section
from entrepot.config.values import read_file, split_address

__all__ = ["Config", "Section", "Log", "PREFIX", "check_certificate", "load", "read_file", "split_address", "variables"]
