"""Downloads a file with one of the published client libraries, unmodified.

Usage: redirected.py MODULE BASE_URL KEY FILE OUT
"""

import importlib
import sys

module, base_url, key, path, out = sys.argv[1:]
if module == "sutro":
    from sutro.sdk import Sutro as Client

    noun = "dataset"
else:
    Client = importlib.import_module(module).MaterializedIntelligence
    noun = "stage"

client = Client(api_key=key, base_url=base_url)
dataset = getattr(client, f"create_{noun}")()
getattr(client, f"upload_to_{noun}")(dataset, [path])
getattr(client, f"download_from_{noun}")(dataset, "a.parquet", out)
