"""The first five minutes: a real dataset, committed release by release, and what can be asked of it then."""
