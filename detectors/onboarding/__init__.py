"""Brings a model into the catalogue: probes the file, infers the entry, checks it, and compiles it if asked."""
