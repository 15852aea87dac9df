"""The service against its own limit: ratios, measured side by side in one run. See benchmarks/README.md."""
