"""What the HTTP service and the cloud functions share: request fields and bodies, JSON documents, problem documents."""
