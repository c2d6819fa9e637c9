"""Contracts: which records carlake understands, as files (`*.yaml`) and not as code."""
