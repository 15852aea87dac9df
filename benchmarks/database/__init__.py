"""Parts of the benchmarks of the database: servers, deep tables, and the timed work."""
