"""Whether a table is what was committed: level by level, every object once.

From the edge inwards:

    verification        verify
    rows                level "rows": what the files decode to, against the recorded digests
    second_reader       the same by another Parquet implementation, for the types that it reads right
    files               level "files": bytes of data files, vectors and change files
    remembered          tags, runs, pins and their journal, against the log
    history             level "log": entries, their chain and sums; what each version adds and takes away
    checkpoints         whether each holds what the entries say
    report              what was found
"""
