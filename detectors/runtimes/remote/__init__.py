"""The runtime `remote`: models on model servers, over HTTP."""
