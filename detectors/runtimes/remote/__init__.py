"""The runtime `remote`: a model on a server, which is asked over HTTP."""
