"""Benchmarks that compare the service with its limit, both measured in the same run. See benchmarks/README.md."""
