"""The contenders, a script each, run in a process of its own: ``child``. Only ``ours`` imports tablever."""
