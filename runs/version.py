"""The version of Pier Site, as pyproject.toml says."""

VERSION = "0.1.0"
