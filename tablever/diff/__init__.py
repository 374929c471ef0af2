"""The net change between two versions, from what changed and not from the whole table.

From the edges inwards; imports run down this list only:

    audits                  what a job did to a table
    patches, patch_files    changes as a file, and back onto a table
    value                   Diff, diff_versions, diff_tables, diff_rows
    segments, profiles      changes by group; columns on both sides
    aggregates, counted     one side's figures in SQL; figures from counts of values
    cells                   changes as change rows, and cell by cell
    netting, spilling       rows that went and came, paired, in memory or by partitions on disk
    feed, snapshots         the two ways to those rows: the commits' change rows; what only one version's files hold
    planner                 which way is right, and cheaper
    sides                   what is compared: two versions, their columns, the key
"""
