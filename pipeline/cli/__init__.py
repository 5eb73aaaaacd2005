"""The command line: ``haarchive archive | inspect | verify | restore | tile | tune | train``."""

from haarchive.pipeline.cli.app import app, main

__all__ = ["app", "main"]
