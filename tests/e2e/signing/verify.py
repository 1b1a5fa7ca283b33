"""Does the standard's own Python library take what the gateway signed?

Reads one request a line from standard input: {"secret", "headers", "body"}. Prints a line for each:
"good", or why not.
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
