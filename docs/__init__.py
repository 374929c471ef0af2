"""The documentation, and what keeps it true: ``docs.examples`` runs it, ``docs.generate`` writes its lists."""
