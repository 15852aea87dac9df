"""HTTP as the service and the functions share it: request fields and bodies, JSON documents, problem documents."""
