"""Stores two files in a bucket as users of boto3 do, one of them in parts."""

import sys

import boto3
from botocore.exceptions import ClientError

bucket, small, large = sys.argv[1:]
s3 = boto3.client("s3")
s3.upload_file(small, bucket, "incoming/ds/boto-small")
s3.upload_file(large, bucket, "incoming/ds/boto-large")
with open(small, "rb") as body:
    s3.put_object(Bucket=bucket, Key="incoming/ds/boto-put", Body=body, Metadata={"who": "me"})
s3.upload_fileobj(open(large, "rb"), bucket, "incoming/ds/boto name + ü%2F&.parquet")

for refused in (
    lambda: s3.download_file(bucket, "incoming/ds/boto-small", small + ".down"),
    lambda: s3.list_objects_v2(Bucket=bucket),
    lambda: s3.delete_object(Bucket=bucket, Key="incoming/ds/boto-small"),
    lambda: s3.upload_file(small, bucket, "rejected/ds/boto-small"),
    lambda: s3.upload_file(large, bucket, "rejected/ds/boto-large"),
):
    try:
        refused()
    except (ClientError, boto3.exceptions.S3UploadFailedError) as e:
        if "AccessDenied" in str(e) or "403" in str(e):
            continue
        raise
    sys.exit("it was not refused")
