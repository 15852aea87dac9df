"""The detectors in functions of a cloud: in the process that gets the event, without a queue."""
