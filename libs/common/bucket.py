"""The bucket itself, by boto3: made, tried, and rid of what nobody completes. Bytes travel through `storage.py`."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import boto3
import botocore.exceptions

from libs.common.errors import Retryable
from libs.common.storage import S3Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TRIAL_KEY = "scandock-setup"
"""Written and removed again when the bucket is made ready."""


async def ensure_bucket(settings: S3Settings) -> None:
    """Make the bucket if there is none, and try to write to it. Safe to repeat.

    Raises:
        Retryable: the store is away, or refuses.
    """
    await asyncio.to_thread(_ensure_bucket, settings)


async def abort_unfinished(settings: S3Settings, age: timedelta) -> int:
    """Abort the multipart uploads that began longer than `age` ago: whoever began them is gone. How many."""
    return await asyncio.to_thread(_abort_unfinished, settings, datetime.now(UTC) - age)


def _abort_unfinished(settings: S3Settings, before: datetime) -> int:
    client, count = _client(settings), 0
    try:
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=settings.bucket):
            for upload in page.get("Uploads", ()):
                if upload["Initiated"] < before:
                    client.abort_multipart_upload(
                        Bucket=settings.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    count += 1
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        raise Retryable("store-unavailable", "unfinished uploads cannot be looked at") from error
    return count


def _client(settings: S3Settings) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key.get_secret_value(),
    )


def _ensure_bucket(settings: S3Settings) -> None:
    client = _client(settings)
    try:
        client.head_bucket(Bucket=settings.bucket)
    except botocore.exceptions.ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404:
            raise Retryable("store-unavailable", "the bucket cannot be looked at") from error
        _create_bucket(client, settings)
    except botocore.exceptions.BotoCoreError as error:
        raise Retryable("store-unavailable", "the object store cannot be reached") from error
    _try_bucket(client, settings)


def _try_bucket(client: "S3Client", settings: S3Settings) -> None:
    """Write and remove an object: SeaweedFS makes a bucket's volumes at its first byte, which should be no upload's."""
    try:
        client.put_object(Bucket=settings.bucket, Key=TRIAL_KEY, Body=b"written and removed by the setup")
        client.delete_object(Bucket=settings.bucket, Key=TRIAL_KEY)
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        raise Retryable("store-unavailable", "the bucket cannot be written to") from error


def _create_bucket(client: "S3Client", settings: S3Settings) -> None:
    try:
        client.create_bucket(Bucket=settings.bucket)
    except botocore.exceptions.ClientError as error:
        if error.response.get("Error", {}).get("Code") not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
            raise Retryable("store-unavailable", "the bucket cannot be made") from error
