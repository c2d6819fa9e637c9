"""The command line: thin commands over `carlake.lakehouse`."""
