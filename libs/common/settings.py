"""What every service reads from its environment, once, in `main`; a start fails with every missing name."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.common.storage import S3Settings


class Settings(BaseSettings):
    """The servers and the site; the same names on one machine and on a cluster."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", secrets_dir=None)

    amqp_url: str = Field(alias="AMQP_URL")
    database_url: str = Field(alias="DATABASE_URL")
    s3_endpoint_url: str | None = Field(default=None, alias="S3_ENDPOINT_URL")
    s3_bucket: str = Field(alias="S3_BUCKET")
    s3_region: str = Field(default="us-east-1", alias="AWS_REGION")
    s3_access_key_id: str = Field(alias="AWS_ACCESS_KEY_ID")
    s3_secret_access_key: SecretStr = Field(alias="AWS_SECRET_ACCESS_KEY")
    site_id: str = Field(default="XNAT", alias="SCANDOCK_SITE_ID")

    @property
    def s3(self) -> S3Settings:
        """The bucket and how to reach it."""
        return S3Settings(
            endpoint=self.s3_endpoint_url or None,
            bucket=self.s3_bucket,
            region=self.s3_region,
            access_key_id=self.s3_access_key_id,
            secret_access_key=self.s3_secret_access_key,
        )
