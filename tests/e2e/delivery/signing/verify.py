"""Verifies the gateway's signatures with the Python library of Standard Webhooks.

Reads one request per line from standard input: {"secret", "headers", "body"}. Prints a line for
each: "good", or the error.
"""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    request = json.loads(line)
    try:
        Webhook(request["secret"]).verify(request["body"], request["headers"])
        print("good")
    except WebhookVerificationError as error:
        print(f"refused: {error}")
