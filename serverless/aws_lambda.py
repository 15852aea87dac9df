"""The handler of an AWS Lambda function: `serverless.aws_lambda.handler`.

The model is loaded while this module is imported, which Lambda calls the init phase.
"""

import logging

from serverless.aws_events import EventHandler
from serverless.buckets import Buckets
from serverless.detection import Detection

_detection = Detection.from_environment()
logging.getLogger().setLevel(_detection.settings.log_level)
for name in ("aiobotocore", "botocore"):
    # Operators do not need their lines about where credentials were found.
    logging.getLogger(name).setLevel(logging.WARNING)
handler = EventHandler(_detection, Buckets(_detection.settings.picture_limits["max_bytes"]))
