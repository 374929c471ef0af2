"""What tablever costs, measured against its peers: ``python -m benchmarks``. See benchmarks/README.md."""
