"""Jobs: archive, restore and verify; archiving in this process or on Ray, with the same stages and bytes."""

from haarchive.pipeline.jobs.archive import archive
from haarchive.pipeline.jobs.engines import Engine
from haarchive.pipeline.jobs.report import JobReport, Progress, SourceReport
from haarchive.pipeline.jobs.restore import restore, verify

__all__ = ["Engine", "JobReport", "Progress", "SourceReport", "archive", "restore", "verify"]
