"""The command line: ``haarchive archive | inspect | verify | restore | tile | train``."""

from haarchive.pipeline.cli.app import app, main

__all__ = ["app", "main"]
