"""A row's life: when it came, what changed in it, when it went. All questions are folds over the net change rows.

From the questions down:

    sightings   runs_that_saw: which runs held a row in what they used
    events      row_history: what happened to one row
    authors     blame: who wrote the rows of a version last
    lives       every lifetime of every row
    reading     the log, asked about rows
    keys        a key, or a row without one, as it is given
    folds       change rows into events, last writes and lifetimes
    images      the change rows of some steps, read and netted
    steps       the commits that can tell something, and what is read for each
    probe       what is looked for, and which files and commits can hold it
    view        the columns in which rows of all versions are set against each other
"""
