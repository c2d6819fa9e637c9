"""How other tools read the tables."""

from carlake.look.connect.connection import TOOLS, Connection, connect

__all__ = ["TOOLS", "Connection", "connect"]
