"""Bases that come with an installation, and where to find others."""
