"""The shell: the library's functions as commands. Parses, calls, prints; knows nothing that the library does not."""
