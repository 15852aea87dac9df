"""What an AWS Lambda function names as its handler: `serverless.aws_lambda.handler`.

The model is loaded while this module is imported, in what Lambda calls the init phase.
"""

import logging

from serverless.aws_events import Events
from serverless.buckets import Buckets
from serverless.detection import Detection

_detection = Detection.open()
logging.getLogger().setLevel(_detection.settings.log_level)
for chatty in ("aiobotocore", "botocore"):
    # Where it found its credentials says nothing that an operator needs.
    logging.getLogger(chatty).setLevel(logging.WARNING)
handler = Events(_detection, Buckets(_detection.settings.picture_limits["max_bytes"]))
