"""The version of carlake, in one place: the package's metadata, commits and lakes all name this one."""

VERSION = "0.1.0"
