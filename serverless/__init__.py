"""The detectors as cloud functions. The process that receives the event runs the model, without a queue."""
