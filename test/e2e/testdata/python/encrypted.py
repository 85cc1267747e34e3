"""Prints a Parquet file with modular encryption, a character for each byte.

Usage: encrypted.py plain|encrypted (the footer)
"""

import base64
import datetime
import io
import sys

import pyarrow
import pyarrow.parquet
import pyarrow.parquet.encryption as encryption


class PlainKMS(encryption.KmsClient):
    """A key service that keeps no secrets, for a file that nobody decrypts."""

    def wrap_key(self, key_bytes, master_key_identifier):
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key, master_key_identifier):
        return base64.b64decode(wrapped_key)


factory = encryption.CryptoFactory(lambda configuration: PlainKMS())
configuration = encryption.EncryptionConfiguration(
    footer_key="footer",
    column_keys={"column": ["a"]},
    plaintext_footer=sys.argv[1] == "plain",
    cache_lifetime=datetime.timedelta(minutes=5),
)
properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), configuration)
table = pyarrow.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})
content = io.BytesIO()
with pyarrow.parquet.ParquetWriter(content, table.schema, encryption_properties=properties) as writer:
    writer.write_table(table)
sys.stdout.reconfigure(encoding="utf-8")
sys.stdout.write(content.getvalue().decode("latin-1"))
