"""Refresh: the one rule that keeps every table right, readable in one sitting."""
