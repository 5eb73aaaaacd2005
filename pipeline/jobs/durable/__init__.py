"""Jobs that outlive their processes: what they are to do, have done and are doing lies in object storage.

Below the archive's root, ``jobs/<id>/`` holds

==========================  ==============================================================================
``job.json``                what is to be done; written once
``inventory.parquet``       the sources, as they were when the job began; written once
``results/<run>-<n>.jsonl``  what became of sources, as it became known
``runs/<run>.json``         a run of the job, rewritten every few seconds: its progress and its last sign of life
``shards/<source>/<n>``     shards that are written of sources that are not committed yet
``cancel``                  somebody wants the job to stop
``report.json``, ``.html``  the end: totals and every source
==========================  ==============================================================================

None of this is needed to read the archive: manifests alone say what is in it.
"""
